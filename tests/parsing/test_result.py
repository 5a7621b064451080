"""The result: views of a label map, and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.errors import InputError, UsageError
from segface_edge.labels import label_set
from segface_edge.parsing.result import FaceParse
from segface_edge.parsing.views import View, check_view

SEGFACE = label_set("segface")
SKIN, L_EYE, R_EYE, HAIR = (SEGFACE.index(name) for name in ("skin", "l_eye", "r_eye", "hair"))


@pytest.fixture
def face() -> FaceParse:
    labels = np.zeros((20, 30), np.uint8)
    labels[:5] = HAIR
    labels[5:15, 5:25] = SKIN
    labels[8, 20:23] = L_EYE
    labels[8, 8:10] = R_EYE
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    return FaceParse(image=image, labels=labels, label_set=SEGFACE)


def test_a_mask_is_where_the_class_is(face: FaceParse) -> None:
    mask = face.mask("hair")
    assert mask.dtype == bool
    assert np.array_equal(mask, face.labels == HAIR)
    assert mask.sum() == 150


def test_a_mask_of_several_classes_is_their_union(face: FaceParse) -> None:
    assert np.array_equal(face.mask("hair", "skin"), face.mask("hair") | face.mask("skin"))


def test_a_mask_of_a_group_holds_its_members(face: FaceParse) -> None:
    assert face.mask("eyes").sum() == 5
    assert np.array_equal(face.mask("eyes"), face.mask("l_eye") | face.mask("r_eye"))


def test_a_mask_of_an_absent_class_is_empty(face: FaceParse) -> None:
    assert not face.mask("hat").any()


def test_a_mask_of_nothing_is_refused_with_the_known_classes(face: FaceParse) -> None:
    with pytest.raises(UsageError, match="names no class") as caught:
        face.mask()
    assert "eye_g" in caught.value.cure


def test_a_mask_of_an_unknown_class_is_refused(face: FaceParse) -> None:
    with pytest.raises(UsageError, match="'beard'"):
        face.mask("hair", "beard")


def test_areas_count_every_class_and_sum_to_the_photo(face: FaceParse) -> None:
    areas = face.areas()
    assert list(areas) == list(SEGFACE.classes)
    assert sum(areas.values()) == 600
    assert {name: pixels for name, pixels in areas.items() if pixels} == {
        "background": 250,
        "skin": 195,
        "l_eye": 3,
        "r_eye": 2,
        "hair": 150,
    }


def test_present_leaves_out_background_and_specks(face: FaceParse) -> None:
    assert face.present() == ["skin", "l_eye", "r_eye", "hair"]
    assert face.present(min_pixels=3) == ["skin", "l_eye", "hair"]
    assert face.present(min_pixels=1000) == []


def test_color_gives_each_class_its_palette_colour(face: FaceParse) -> None:
    colors = face.color()
    assert colors.shape == (20, 30, 3)
    assert (colors[face.mask("hair")] == SEGFACE.palette[HAIR]).all()
    assert (colors[face.labels == 0] == 0).all()


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_overlay_blends_classes_and_leaves_background_alone(face: FaceParse, alpha: float) -> None:
    before = face.image.copy()
    overlay = face.overlay(alpha)
    blended = (1 - alpha) * face.image + alpha * SEGFACE.palette[face.labels].astype(float)
    wanted = np.where(face.labels[..., None] == 0, face.image, blended)
    assert overlay.dtype == np.uint8
    assert np.abs(overlay - wanted).max() <= 0.51
    assert np.array_equal(overlay[face.labels == 0], face.image[face.labels == 0])
    assert np.array_equal(face.image, before), "the photo itself must not change"


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_out_of_range_is_refused(face: FaceParse, alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha"):
        face.overlay(alpha)


def test_a_cutout_is_transparent_elsewhere(face: FaceParse) -> None:
    cut = face.cutout("hair")
    hair = face.mask("hair")
    assert cut.shape == (20, 30, 4)
    assert np.array_equal(cut[hair][:, :3], face.image[hair])
    assert (cut[hair][:, 3] == 255).all()
    assert not cut[~hair].any()


def test_a_cutout_of_nothing_named_is_all_but_background(face: FaceParse) -> None:
    assert np.array_equal(face.cutout()[..., 3] == 255, face.labels != 0)


def test_remap_keeps_every_class_by_name(face: FaceParse) -> None:
    other = face.remap("celebamask-hq")
    assert other.label_set.name == "celebamask-hq"
    assert not np.array_equal(other.labels, face.labels)
    assert {k: v for k, v in other.areas().items() if v} == {k: v for k, v in face.areas().items() if v}
    assert np.array_equal(other.color(), face.color())
    assert np.array_equal(other.remap(SEGFACE).labels, face.labels)


def test_remap_to_fewer_classes_and_not_back(face: FaceParse) -> None:
    few = face.remap("lapa")
    assert np.array_equal(few.mask("hair"), face.mask("hair"))
    with pytest.raises(UsageError, match="cannot be remapped"):
        few.remap("segface")


@pytest.mark.parametrize("order", ["lapa", "helen"])
def test_remapped_brows_and_eyes_have_the_ids_that_the_data_set_gives_them(
    parser: FaceParser, portrait: Path, order: str
) -> None:
    face = parser(portrait)
    labels = face.remap(order).labels
    across = {index: np.nonzero(labels == index)[1].mean() for index in (2, 3, 4, 5)}
    # 2 and 4 on the picture's left, whatever their names.
    assert across[2] < across[3]
    assert across[4] < across[5]
    assert np.array_equal(labels == 2, face.mask("r_brow"))


def test_remap_to_an_unknown_order_is_refused(face: FaceParse) -> None:
    with pytest.raises(UsageError, match="'coco'"):
        face.remap("coco")


def test_a_mask_file_holds_the_ids_and_the_palette(face: FaceParse, tmp_path: Path) -> None:
    face.save(tmp_path / "mask.png", "mask")
    with Image.open(tmp_path / "mask.png") as picture:
        assert picture.mode == "P"
        assert np.array_equal(np.asarray(picture), face.labels)
        assert np.array_equal(np.asarray(picture.convert("RGB")), face.color())
        palette = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    assert np.array_equal(palette[: len(SEGFACE)], SEGFACE.palette)


def test_a_png_of_a_view_holds_its_pixels(face: FaceParse, tmp_path: Path) -> None:
    for view, wanted in (("overlay", face.overlay()), ("color", face.color()), ("cutout", face.cutout())):
        face.save(tmp_path / "x.png", view)
        with Image.open(tmp_path / "x.png") as picture:
            assert np.array_equal(np.asarray(picture), wanted), view


def test_saving_passes_alpha_and_classes_on(face: FaceParse, tmp_path: Path) -> None:
    face.save(tmp_path / "a.png", alpha=1.0)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), face.overlay(1.0))
    face.save(tmp_path / "c.png", "cutout", classes=("eyes",))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), face.cutout("eyes"))


@pytest.mark.parametrize("classes", [("hair",), ("eyes", "hair")])
def test_every_view_shows_the_chosen_classes_only(face: FaceParse, classes: tuple[str, ...]) -> None:
    chosen = face.only(*classes)
    wanted = {"overlay": chosen.overlay(), "color": chosen.color(), "mask": chosen.labels, "cutout": chosen.cutout()}
    wanted["ids"] = chosen.labels
    assert wanted.keys() == set(get_args(View))
    for view, pixels in wanted.items():
        assert np.array_equal(np.asarray(face.picture(view, classes=classes)), pixels), view  # type: ignore[arg-type]


def test_a_picture_of_an_unknown_class_is_refused(face: FaceParse) -> None:
    for view in get_args(View):
        with pytest.raises(UsageError, match="'beard'"):
            face.picture(view, classes=("beard",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [(".jpg", "JPEG"), (".JPEG", "JPEG"), (".png", "PNG"), (".webp", "WEBP"), (".tif", "TIFF"), (".bmp", "BMP")],
)
def test_the_suffix_names_the_format(face: FaceParse, tmp_path: Path, suffix: str, kind: str) -> None:
    face.save(str(tmp_path / f"x{suffix}"))
    with Image.open(tmp_path / f"x{suffix}") as picture:
        assert picture.format == kind
        assert picture.size == (30, 20)


@pytest.mark.parametrize(
    ("name", "view", "problem"),
    [
        ("x.jpg", "mask", "'.jpg': would change label ids"),
        ("x.JPG", "mask", "would change label ids"),
        ("x.webp", "ids", "would change label ids"),
        ("x.webp", "mask", "would change label ids"),
        ("x.bmp", "mask", "save masks as .png"),
        ("x.jpg", "cutout", "has no transparency"),
        ("x.bmp", "cutout", "has no transparency"),
        ("x.xyz", "overlay", "'.xyz': is not a picture format"),
        ("x", "overlay", "is not a picture format"),
        ("x.onnx", "mask", "is not a picture format"),
        ("x.png", "depth", "view 'depth': is unknown"),
    ],
)
def test_a_format_that_would_spoil_the_view_is_refused_and_nothing_written(
    face: FaceParse, tmp_path: Path, name: str, view: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem.replace(".", r"\.")):
        face.save(tmp_path / name, view)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        check_view(view, Path(name).suffix)
    assert not list(tmp_path.iterdir())


def test_an_unknown_view_as_a_picture_is_refused(face: FaceParse) -> None:
    with pytest.raises(UsageError, match="'depth'"):
        face.picture("depth")  # type: ignore[arg-type]


@pytest.mark.parametrize("view", ["mask", "ids"])
def test_the_picture_of_labels_does_not_share_them(face: FaceParse, view: View) -> None:
    picture = face.picture(view)
    picture.putpixel((0, 0), 99)
    assert face.labels[0, 0] == HAIR


@pytest.mark.parametrize(
    "flags", [cv2.IMREAD_UNCHANGED, cv2.IMREAD_GRAYSCALE, cv2.IMREAD_ANYCOLOR], ids=["unchanged", "grey", "any"]
)
def test_opencv_reads_ids(face: FaceParse, flags: int, tmp_path: Path) -> None:
    face.save(tmp_path / "ids.png", "ids")
    assert np.array_equal(cv2.imread(str(tmp_path / "ids.png"), flags), face.labels)
    face.save(tmp_path / "mask.png", "mask")
    of_mask = cv2.imread(str(tmp_path / "mask.png"), flags)
    assert not np.array_equal(of_mask.reshape(*face.labels.shape, -1)[..., 0], face.labels)  # why there is `ids`


def test_a_failure_while_saving_leaves_the_old_file_and_nothing_else(
    face: FaceParse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segface_edge.files.os.fsync", full)
    with pytest.raises(InputError, match="no space left"):
        face.save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_to_a_missing_folder_is_an_input_error(face: FaceParse, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        face.save(tmp_path / "absent" / "x.png")


def test_labels_of_another_shape_than_the_photo_are_refused(face: FaceParse) -> None:
    with pytest.raises(ValueError, match="must have the photo's shape"):
        FaceParse(image=face.image, labels=face.labels[:10], label_set=SEGFACE)
    with pytest.raises(ValueError, match="must have the photo's shape"):
        FaceParse(image=face.image, labels=face.labels, label_set=SEGFACE, confidence=face.labels.T)


def test_only_keeps_the_named_classes(parser: FaceParser, portrait: Path) -> None:
    face = parser(portrait)
    lips = face.only("lips")
    assert set(lips.present()) == {"u_lip", "l_lip"}
    assert np.array_equal(lips.mask("u_lip"), face.mask("u_lip"))
    assert np.array_equal(lips.overlay()[~face.mask("lips")], face.image[~face.mask("lips")])


@pytest.mark.parametrize(("name", "width"), [("wide.webp", 17_000), ("wide.jpg", 66_000)])
def test_a_picture_that_the_format_cannot_hold_is_said(
    parser: FaceParser, tmp_path: Path, name: str, width: int
) -> None:
    face = FaceParse(
        image=np.zeros((16, width, 3), np.uint8), labels=np.zeros((16, width), np.uint8), label_set=parser.labels
    )
    with pytest.raises(InputError, match=rf"{name}: cannot hold this picture .*save it as \.png"):
        face.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_one_face_by_itself(parser: FaceParser) -> None:
    face = parser(zoo.PORTRAIT)
    one = face.face(0)
    assert np.array_equal(one.labels, face.labels)
    assert one.to_json()["faces"] == face.to_json()["faces"]
    assert one.cutout("hair").shape == (512, 512, 4)
