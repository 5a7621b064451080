"""Data sets on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from segface_edge import zoo
from segface_edge.datasets import samples
from segface_edge.datasets.layouts.celebamask_hq import PARTS, PartsSample
from segface_edge.datasets.opening import LAYOUTS, folder, open_dataset, open_splits
from segface_edge.datasets.samples import Sample, UnknownIdError, read_labels, same_proportions
from segface_edge.errors import DataError, UsageError
from segface_edge.labels import label_set

SEGFACE, LAPA, HQ = label_set("segface"), label_set("lapa"), label_set("celebamask-hq")
IDS = np.arange(19 * 20, dtype=np.uint8).reshape(19, 20) % 19


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in ("b.jpg", "a.png", "c.JPEG"):
        Image.new("RGB", (20, 19)).save(tmp_path / "images" / name)
        Image.fromarray(IDS).save(tmp_path / "labels" / f"{Path(name).stem}.png")
    (tmp_path / "images" / "notes.txt").write_text("x")
    return tmp_path


def test_photos_are_paired_with_their_label_maps_by_name_and_sorted(dataset: Path) -> None:
    images, labels = dataset / "images", dataset / "labels"
    assert folder(dataset) == [
        Sample(images / "a.png", labels / "a.png"),
        Sample(images / "b.jpg", labels / "b.png"),
        Sample(images / "c.JPEG", labels / "c.png"),
    ]


def test_a_label_map_without_a_photo_does_not_matter(dataset: Path) -> None:
    Image.fromarray(IDS).save(dataset / "labels" / "spare.png")
    assert len(folder(dataset)) == 3


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_missing_folder_is_named_with_the_layout(tmp_path: Path, part: str) -> None:
    for name in {"images", "labels"} - {part}:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"has no folder '{part}'; lay it out as images/NAME.jpg") as caught:
        folder(tmp_path)
    assert caught.value.exit_code == 1


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        folder(tmp_path / "absent")


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    (tmp_path / "images" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="images: holds no pictures"):
        folder(tmp_path)


def test_a_photo_without_a_label_map_is_named_and_counted(dataset: Path) -> None:
    (dataset / "labels" / "b.png").unlink()
    (dataset / "labels" / "c.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: no such file \(2 of 3 photos have no label map\)"):
        folder(dataset)


def test_a_grey_png_is_read_as_ids(dataset: Path) -> None:
    labels = read_labels(dataset / "labels" / "a.png", SEGFACE)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, IDS)


def test_a_palette_png_is_read_as_ids_and_not_as_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(IDS)
    picture.putpalette(SEGFACE.palette[::-1].tobytes())
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    assert np.array_equal(read_labels(tmp_path / "a.png", SEGFACE), IDS)


def test_255_is_read_as_ignored(tmp_path: Path) -> None:
    ids = IDS.copy()
    ids[:3] = 255
    Image.fromarray(ids).save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png", SEGFACE), ids)


@pytest.mark.parametrize("highest", [11, 18, 254])
def test_an_id_outside_the_order_is_refused_with_the_cure(tmp_path: Path, highest: int) -> None:
    ids = np.zeros((20, 20), np.uint8)
    ids[5, 5] = 10
    Image.fromarray(ids).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", LAPA).max() == 10
    ids[7, 7] = highest
    Image.fromarray(ids).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=f"has the id {highest}, the label order 'lapa' ends at 10.*--label-order"):
        read_labels(tmp_path / "a.png", LAPA)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_a_picture_that_is_not_of_ids_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=f"is a picture of mode {mode}, not of label ids"):
        read_labels(tmp_path / "a.png", SEGFACE)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_damaged_label_map_is_refused_by_name(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 19, (64, 64), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"a\.png: is not a label map that can be read"):
        read_labels(path, SEGFACE)


def test_a_missing_label_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a label map that can be read"):
        read_labels(tmp_path / "absent.png", SEGFACE)


def test_a_label_map_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(IDS).save(tmp_path / "a.png")
    monkeypatch.setattr("segface_edge.pictures.label_maps.LARGEST_MAX_PIXELS", IDS.size - 1)
    with pytest.raises(DataError, match="has over 379 pixels"):
        read_labels(tmp_path / "a.png", SEGFACE)


def test_the_shared_faces_are_a_data_set(faces: Path) -> None:
    samples = folder(faces)
    assert len(samples) == 100
    labels = read_labels(samples[0].labels, label_set("celebamask-hq"))
    assert {0, 1} <= set(np.unique(labels))


# What every layout shares.


def photo(path: Path, side: int = 64) -> None:
    """The bundled portrait, small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(zoo.PORTRAIT) as picture:
        picture.resize((side, side)).save(path)


def label_map(path: Path, ids: npt.NDArray[np.uint8] = IDS) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ids).save(path)


def write_folder(root: Path) -> None:
    for split, names in (("train", "ab"), ("val", "c")):
        for name in names:
            photo(root / split / "images" / f"{name}.jpg")
            label_map(root / split / "labels" / f"{name}.png")


def mask(path: Path, *boxes: tuple[int, int, int, int], side: int = 32, mode: str = "RGB") -> None:
    """A mask as the set has it: white boxes (left, top, right, bottom) on black, three equal channels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.zeros((side, side), np.uint8)
    for left, top, right, bottom in boxes:
        grey[top:bottom, left:right] = 255
    Image.fromarray(grey).convert(mode).save(path)


def write_hq(root: Path) -> None:
    """Photos 0, 1 and 2000; the first two are of `train`, the last of `val`."""
    for number in (0, 1, 2000):
        photo(root / "CelebA-HQ-img" / f"{number}.jpg")
        masks = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        mask(masks / f"{number:05d}_skin.png", (4, 4, 28, 28))
        mask(masks / f"{number:05d}_nose.png", (12, 12, 20, 20))
    mask(root / "CelebAMask-HQ-mask-anno" / "0" / "00001_hair.png", (0, 0, 32, 14))
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text(
        "idx     orig_idx    orig_file\n0       119613      119614.jpg\n1       99094       099095.jpg\n"
        "2000    200121      200122.jpg\n"
    )
    (root / "list_eval_partition.txt").write_text("099095.jpg 0\n119614.jpg 0\n170000.jpg 2\n200122.jpg 1\n")


def write_lapa(root: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("10007394_1", "987_0"):
            photo(root / split / "images" / f"{name}.jpg")
            label_map(root / split / "labels" / f"{name}.png", IDS % 11)
            lines = ["106", *(f"{i}.5 {1000 + i}.25" for i in range(106))]
            path = root / split / "landmarks" / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(lines) + "\n")


def write_helen(root: Path) -> None:
    for split, names in (("train", ("100_1", "20_1")), ("test", ("3_1",))):
        for name in names:
            photo(root / split / f"{name}_image.jpg")
            label_map(root / split / f"{name}_label.png", IDS % 11)
    numbers = " ".join(str(i / 2) for i in range(136))
    (root / "landmarks.txt").write_text(f"{numbers} 100_1\n{numbers} 3_1\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "folder": write_folder,
    "celebamask-hq": write_hq,
    "lapa": write_lapa,
    "helen": write_helen,
}


def test_every_layout_is_tested() -> None:
    assert WRITERS.keys() == LAYOUTS.keys()


@pytest.mark.parametrize(
    ("layout", "order", "counts"),
    [
        ("folder", "celebamask-hq", {"train": 2, "val": 1}),
        ("celebamask-hq", "segface", {"train": 2, "val": 1}),
        ("lapa", "lapa", {"train": 2, "val": 2, "test": 2}),
        ("helen", "helen", {"train": 2, "test": 1}),
    ],
)
def test_a_layout_is_recognised_with_its_splits_and_order(
    tmp_path: Path, layout: str, order: str, counts: dict[str, int]
) -> None:
    WRITERS[layout](tmp_path)
    if layout == "folder":
        (tmp_path / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    for given_layout in (None, layout):
        opened = open_splits(tmp_path, layout=given_layout)
        assert {data.split: len(data.samples) for data in opened} == counts
        for data in opened:
            assert (data.root, data.layout, data.order.name) == (tmp_path, layout, order)
            assert (data.faults, data.spare) == ((), ())
            assert [sample.name for sample in data.samples] == [sample.image.stem for sample in data.samples]
            for sample in data.samples:
                assert sample.image.is_file()
                ids = set(np.unique(sample.read_labels(data.order)).tolist())
                assert sample.present(data.order) == ids


@pytest.mark.parametrize("layout", WRITERS)
def test_an_order_that_is_given_overrides(tmp_path: Path, layout: str) -> None:
    WRITERS[layout](tmp_path)
    (tmp_path / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    bisenet = label_set("bisenet")
    assert open_dataset(tmp_path, split="train", order=bisenet).order is bisenet


@pytest.mark.parametrize("layout", WRITERS)
def test_a_split_must_be_named_where_there_are_several(tmp_path: Path, layout: str) -> None:
    WRITERS[layout](tmp_path)
    with pytest.raises(DataError, match=r"has the splits train, .*; name one of them: --split") as caught:
        open_dataset(tmp_path, order=HQ)
    assert caught.value.exit_code == 1
    with pytest.raises(DataError, match=r"has no split 'dev'; use one of: train, "):
        open_dataset(tmp_path, split="dev", order=HQ)


def test_the_only_split_need_not_be_named(tmp_path: Path) -> None:
    photo(tmp_path / "val" / "images" / "a.jpg")
    label_map(tmp_path / "val" / "labels" / "a.png")
    assert open_dataset(tmp_path, order=HQ).split == "val"


def test_an_undivided_folder_has_no_split(dataset: Path) -> None:
    data = open_dataset(dataset, order=HQ)
    assert (data.split, list(data.samples)) == (None, folder(dataset))
    with pytest.raises(DataError, match="has no split 'val'; leave the split out: it is undivided"):
        open_dataset(dataset, split="val", order=HQ)


def test_a_folder_of_no_known_layout_is_refused_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="is of no known layout; lay it out as one of these") as caught:
        open_dataset(tmp_path)
    assert caught.value.exit_code == 1
    for name, layout in LAYOUTS.items():
        assert f"{name}: {layout.files}" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_root_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent: no such folder"):
        open_dataset(tmp_path / "absent")


def test_a_layout_that_does_not_exist_or_fit_is_refused(dataset: Path) -> None:
    with pytest.raises(UsageError, match="layout 'coco': is unknown; use one of: celebamask-hq, lapa, helen, folder"):
        open_dataset(dataset, layout="coco")
    with pytest.raises(DataError, match="is not laid out as 'helen'; it takes {train,test}.*; it looks like 'folder'"):
        open_dataset(dataset, layout="helen")


# folder


def test_an_order_that_nothing_names_is_asked_for_or_falls_back(dataset: Path) -> None:
    with pytest.raises(DataError, match=r"does not say in which order its labels are; name it: --label-order"):
        open_dataset(dataset)
    assert open_dataset(dataset, default=SEGFACE).order is SEGFACE
    (dataset / "dataset.toml").write_text('label_order = "lapa"\n')
    assert open_dataset(dataset, default=SEGFACE).order is LAPA


def test_the_settings_nearest_to_the_photos_count(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    (tmp_path / "val" / "dataset.toml").write_text('label_order = "segface"\n')
    assert [data.order.name for data in open_splits(tmp_path)] == ["celebamask-hq", "segface"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label_order = ", "cannot be read"),
        ("label_order = 3", "label_order = 3 is not a name; write it in quotes"),
        ('label_order = "coco"', "label order 'coco' is unknown; use one of: segface, celebamask-hq"),
        ('order = "lapa"', "has the unknown key 'order'; use: label_order"),
        ('label_order = "lapa"\nsplit = "val"', "has the unknown key 'split'"),
        ("", "does not say in which order"),
        ('label_order = "\xff"', "cannot be read"),
        ("label_order = " + "[" * 5000, "cannot be read .nested too deeply"),
        ("label_order = " + "9" * 5000, "cannot be read"),
    ],
)
def test_bad_settings_are_refused(dataset: Path, text: str, message: str) -> None:
    (dataset / "dataset.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(dataset)
    assert caught.value.exit_code == 1
    assert str(caught.value).startswith(str(dataset))


def test_two_photos_of_one_name_are_refused(dataset: Path) -> None:
    photo(dataset / "images" / "a.jpg")
    with pytest.raises(DataError, match=r"images/a\.png: has the name of a\.jpg; rename one"):
        open_dataset(dataset, order=HQ)


def test_hidden_files_are_no_photos(dataset: Path) -> None:
    (dataset / "images" / "._a.png").write_bytes(b"Mac OS X")
    (dataset / "images" / "folder.jpg").mkdir()
    assert len(folder(dataset)) == 3


def test_what_is_missing_or_spare_is_listed_where_that_is_asked_for(dataset: Path) -> None:
    (dataset / "labels" / "b.png").unlink()
    label_map(dataset / "labels" / "z.png")
    data = open_dataset(dataset, order=HQ, strict=False)
    assert [sample.name for sample in data.samples] == ["a", "c"]
    assert [(fault.kind, fault.error.subject) for fault in data.faults] == [
        ("missing", str(dataset / "labels" / "b.png"))
    ]
    assert data.spare == (dataset / "labels" / "z.png",)
    with pytest.raises(DataError, match=r"b\.png: no such file \(1 of 3 photos have no label map\)"):
        open_dataset(dataset, order=HQ)


def test_an_unknown_id_is_told_from_a_damaged_file(dataset: Path) -> None:
    with pytest.raises(UnknownIdError):
        folder(dataset)[0].read_labels(LAPA)


def test_ignored_pixels_are_no_class(tmp_path: Path) -> None:
    label_map(tmp_path / "a.png", np.array([[0, 255], [7, 255]], np.uint8))
    assert Sample(tmp_path / "a.jpg", tmp_path / "a.png").present(SEGFACE) == {0, 7}


# celebamask-hq


def test_the_masks_are_painted_over_each_other_in_any_order_of_labels(tmp_path: Path) -> None:
    write_hq(tmp_path)
    data = open_dataset(tmp_path, split="train")
    sample = data.samples[1]
    assert sample.labels == tmp_path / "CelebAMask-HQ-mask-anno" / "0" / "00001_*.png"
    for order in (SEGFACE, HQ, LAPA):
        expected = np.zeros((32, 32), np.uint8)
        expected[4:28, 4:28] = order.index("skin")
        expected[12:20, 12:20] = order.index("nose")
        expected[:14] = order.index("hair")  # over the nose
        labels = sample.read_labels(order)
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, expected)
        assert sample.present(order) == {0, *(order.index(name) for name in ("skin", "nose", "hair"))}


def test_what_an_order_does_not_tell_is_merged(tmp_path: Path) -> None:
    mask(tmp_path / "0_l_ear.png", (0, 0, 8, 8))
    mask(tmp_path / "0_hat.png", (8, 8, 16, 16))
    sample = PartsSample(tmp_path / "0.jpg", tmp_path / "0_*.png", parts=("l_ear", "hat"))
    labels = sample.read_labels(LAPA)
    assert (labels[:8, :8] == LAPA.index("skin")).all()
    assert (labels[8:] == 0).all()
    assert sample.present(LAPA) == {0, LAPA.index("skin")}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_last_part_that_covers_a_pixel_has_it(tmp_path: Path, data: st.DataObject) -> None:
    parts = [part for part in PARTS if data.draw(st.booleans(), part)] or ["skin"]
    covered = {
        part: np.frombuffer(data.draw(st.binary(min_size=16, max_size=16), part), np.uint8).reshape(4, 4) > 127
        for part in parts
    }
    for part, where in covered.items():
        Image.fromarray((where * 255).astype(np.uint8)).save(tmp_path / f"00000_{part}.png")
    labels = PartsSample(tmp_path / "0.jpg", tmp_path / "00000_*.png", parts=tuple(parts)).read_labels(SEGFACE)
    for y in range(4):
        for x in range(4):
            on_top = [part for part in parts if covered[part][y, x]][-1:]
            assert labels[y, x] == (SEGFACE.index(on_top[0]) if on_top else 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_mask_may_be_grey_or_coloured(tmp_path: Path, mode: str) -> None:
    mask(tmp_path / "0_skin.png", (0, 0, 5, 5), mode=mode)
    labels = PartsSample(tmp_path / "0.jpg", tmp_path / "0_*.png", parts=("skin",)).read_labels(SEGFACE)
    assert (labels > 0).sum() == 25


def test_the_order_of_the_masks_is_that_of_the_painting(tmp_path: Path) -> None:
    write_hq(tmp_path)
    sample = open_dataset(tmp_path, split="train").samples[1]
    assert isinstance(sample, PartsSample)
    assert sample.parts == ("skin", "nose", "hair")


def _mapping(root: Path, change: Callable[[str], str], name: str = "CelebA-HQ-to-CelebA-mapping.txt") -> None:
    (root / name).write_text(change((root / name).read_text()))


def _partition(root: Path, change: Callable[[str], str]) -> None:
    _mapping(root, change, "list_eval_partition.txt")


BAD_HQ: list[tuple[Callable[[Path], object], str]] = [
    (
        lambda r: (r / "list_eval_partition.txt").unlink(),
        r"has no split 'train'; leave the split out: it is undivided; or add list_eval_partition\.txt, of CelebA",
    ),
    (
        lambda r: (r / "CelebA-HQ-to-CelebA-mapping.txt").unlink(),
        r"mapping\.txt: no such file; copy .* CelebAMask-HQ.*; or take list_eval_partition\.txt away, to use the set",
    ),
    (lambda r: (r / "list_eval_partition.txt").write_bytes(b"\xff"), "is not a text file that can be read"),
    (lambda r: _partition(r, lambda t: t + "x.jpg 3\n"), "line 5 is not a file name and 0, 1 or 2"),
    (lambda r: _partition(r, lambda t: t + "x.jpg\n"), "line 5 is not"),
    (lambda r: _mapping(r, lambda t: t + "3 4\n"), "line 5 is not idx, orig_idx and orig_file"),
    (lambda r: _mapping(r, lambda t: t + "-3 4 119614.jpg\n"), "line 5 is not idx, orig_idx and orig_file"),
    (lambda r: _mapping(r, lambda t: f"{t}{'9' * 5000} 4 119614.jpg\n"), "line 5 is not idx, orig_idx and orig_file"),
    (lambda r: _mapping(r, lambda t: t + "0 4 119614.jpg\n"), "line 5 names photo 0 again"),
    (lambda r: _mapping(r, lambda t: t + "7 4 000007.jpg\n"), "line 5 names 000007.jpg, which list_eval"),
    (lambda r: _mapping(r, lambda t: t.splitlines()[0]), "mapping.txt: names no photo"),
    (lambda r: _mapping(r, lambda t: t + "5 4 170000.jpg\n6 4 119614.jpg\n"), r"img/6\.jpg: no such file \(1 of 3"),
    (lambda r: photo_without_masks(r, 6), r"00006_skin\.png: no such file \(1 of 3 photos have no label map\)"),
    (lambda r: mask(r / HQ_MASKS / "0" / "00000_beard.png"), r"00000_beard\.png: is not named NUMBER_PART\.png"),
    (lambda r: mask(r / HQ_MASKS / "0" / "skin.png"), r"0/skin\.png: is not named NUMBER_PART\.png"),
    (lambda r: mask(r / HQ_MASKS / "1" / "00001_hat.png"), r"belongs; move it to .*anno/0/00001_hat\.png"),
    (lambda r: mask(r / HQ_MASKS / "0" / "1_hat.png"), r"belongs; move it to .*anno/0/00001_hat\.png"),
    (lambda r: (r / HQ_MASKS).rename(r / "masks"), "has no folder 'CelebAMask-HQ-mask-anno'; it takes CelebA-HQ-img"),
    (lambda r: (r / "CelebA-HQ-img").rename(r / "photos"), "has no folder 'CelebA-HQ-img'; it takes CelebA-HQ-img"),
]
HQ_MASKS = "CelebAMask-HQ-mask-anno"


def photo_without_masks(root: Path, number: int) -> None:
    photo(root / "CelebA-HQ-img" / f"{number}.jpg")
    _mapping(root, lambda text: f"{text}{number} 4 119614.jpg\n")


@pytest.mark.parametrize(("spoil", "message"), BAD_HQ, ids=[message for _, message in BAD_HQ])
def test_a_spoilt_celebamask_hq_is_refused(tmp_path: Path, spoil: Callable[[Path], object], message: str) -> None:
    write_hq(tmp_path)
    spoil(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(tmp_path, split="train")
    assert caught.value.exit_code == 1
    assert len(str(caught.value).splitlines()) == 1


def test_masks_of_different_sizes_are_refused(tmp_path: Path) -> None:
    write_hq(tmp_path)
    mask(tmp_path / HQ_MASKS / "0" / "00000_hat.png", side=16)
    sample = open_dataset(tmp_path, split="train").samples[0]
    with pytest.raises(DataError, match=r"00000_hat\.png: is 16 x 16, the mask of 'skin' 32 x 32; save all"):
        sample.read_labels(SEGFACE)


def test_a_damaged_mask_is_refused(tmp_path: Path) -> None:
    write_hq(tmp_path)
    path = tmp_path / HQ_MASKS / "0" / "00000_nose.png"
    path.write_bytes(path.read_bytes()[:60])
    sample = open_dataset(tmp_path, split="train").samples[0]
    with pytest.raises(DataError, match=r"00000_nose\.png: is not a mask that can be read; extract it again"):
        sample.read_labels(SEGFACE)


def test_photos_and_masks_that_are_in_no_split_are_spare(tmp_path: Path) -> None:
    write_hq(tmp_path)
    photo(tmp_path / "CelebA-HQ-img" / "9.jpg")
    mask(tmp_path / HQ_MASKS / "0" / "00008_hat.png")
    train, val = open_splits(tmp_path)
    assert train.spare == (tmp_path / "CelebA-HQ-img" / "9.jpg", tmp_path / HQ_MASKS / "0" / "00008_*.png")
    assert val.spare == ()


# lapa


def test_the_five_points_of_lapa(tmp_path: Path) -> None:
    write_lapa(tmp_path)
    sample = open_dataset(tmp_path, split="test").samples[0]
    # Point i is (i + 0.5, 1000 + i + 0.25): the means of 74 and 104, of 83 and 105, then 54, 84, 90.
    assert sample.landmarks == ((89.5, 1089.25), (94.5, 1094.25), (54.5, 1054.25), (84.5, 1084.25), (90.5, 1090.25))


def test_a_split_of_lapa_opens_by_itself(tmp_path: Path) -> None:
    write_lapa(tmp_path)
    data = open_dataset(tmp_path / "val")
    assert (data.layout, data.split, len(data.samples)) == ("lapa", None, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: ["68", *lines[1:]], "line 1 is not 106"),
        (lambda _: [], "line 1 is not 106"),
        (lambda lines: [*lines[:-1], "1 2 3"], "line 107 is not x and y"),
        (lambda lines: [*lines[:5], "1 nan", *lines[6:]], "line 6 is not x and y"),
        (lambda lines: [*lines[:5], "one two", *lines[6:]], "line 6 is not x and y"),
        (lambda lines: lines[:-1], "has 105 points"),
        (lambda lines: [*lines, "1 2"], "has 107 points"),
    ],
)
def test_bad_landmarks_of_lapa_are_refused(
    tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    write_lapa(tmp_path)
    path = tmp_path / "val" / "landmarks" / "987_0.txt"
    path.write_text("\n".join(change(path.read_text().splitlines())))
    with pytest.raises(DataError, match=rf"987_0\.txt: {message}.*it takes 106") as caught:
        open_dataset(tmp_path, split="val")
    assert caught.value.exit_code == 1
    data = open_dataset(tmp_path, split="val", strict=False)
    assert [sample.name for sample in data.samples] == ["10007394_1"]
    assert [fault.kind for fault in data.faults] == ["landmarks"]


def test_missing_landmarks_of_lapa_are_refused(tmp_path: Path) -> None:
    write_lapa(tmp_path)
    (tmp_path / "val" / "landmarks" / "987_0.txt").unlink()
    with pytest.raises(DataError, match=r"987_0\.txt: no such file \(1 of 2 photos lack a file\)"):
        open_dataset(tmp_path, split="val")
    for path in (tmp_path / "val" / "landmarks").iterdir():
        path.unlink()
    (tmp_path / "val" / "landmarks").rmdir()
    with pytest.raises(DataError, match="val: has no folder 'landmarks'"):
        open_dataset(tmp_path, split="val")


# helen


def test_helen_has_68_points_where_its_file_has_them(tmp_path: Path) -> None:
    write_helen(tmp_path)
    first, second = open_dataset(tmp_path, split="train").samples
    assert (first.image.name, second.image.name) == ("100_1_image.jpg", "20_1_image.jpg")
    assert first.landmarks is not None
    assert len(first.landmarks) == 68
    # The file has points of photos twice as large.
    assert first.landmarks[:2] == ((0.0, 0.25), (0.5, 0.75))
    # From 0 to 33.5 in x and from 0.25 to 33.75 in y: 1.2 times 33.5 about the middle.
    assert first.box is not None
    assert (first.box.left, first.box.top) == pytest.approx((16.75 - 20.1, 17 - 20.1))
    assert (first.box.right, first.box.bottom) == pytest.approx((16.75 + 20.1, 17 + 20.1))
    assert (second.landmarks, second.box) == (None, None)
    (tmp_path / "landmarks.txt").unlink()
    assert open_dataset(tmp_path, split="train").samples[0].landmarks is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 2 3 20_1", "line 3 is not 136 numbers and a name"),
        (" ".join(["1"] * 137), ""),
        (" ".join(["1"] * 138), "line 3 is not 136 numbers"),
        (" ".join(["1"] * 135 + ["inf", "20_1"]), "line 3 is not 136 numbers"),
        (" ".join(["1"] * 136 + ["3_1"]), "line 3 names 3_1 again"),
    ],
)
def test_bad_landmarks_of_helen_are_refused(tmp_path: Path, line: str, message: str) -> None:
    write_helen(tmp_path)
    with (tmp_path / "landmarks.txt").open("a") as file:
        file.write(line + "\n")
    if not message:  # a photo may be called 1
        assert open_dataset(tmp_path, split="train").samples
        return
    with pytest.raises(DataError, match=rf"landmarks\.txt: {message}") as caught:
        open_dataset(tmp_path, split="train")
    assert caught.value.exit_code == 1


def test_a_photo_of_helen_without_a_label_map_is_refused(tmp_path: Path) -> None:
    write_helen(tmp_path)
    (tmp_path / "train" / "20_1_label.png").unlink()
    with pytest.raises(DataError, match=r"20_1_label\.png: no such file \(1 of 2 photos have no label map\)"):
        open_dataset(tmp_path, split="train")
    (tmp_path / "test" / "3_1_image.jpg").unlink()
    with pytest.raises(DataError, match=r"test: holds no NAME_image\.jpg"):
        open_dataset(tmp_path, split="test")


# All


def test_opening_reads_no_photo_and_no_label_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, write in WRITERS.items():
        write(tmp_path / name)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(Image, "open", refuse)
    monkeypatch.setattr(samples, "load", refuse)
    for name in WRITERS:
        for data in open_splits(tmp_path / name, order=SEGFACE):
            assert data.samples


@pytest.mark.parametrize(
    ("photo_size", "labels_size", "same"),
    [((512, 512), (512, 512), True), ((1024, 1024), (512, 512), True), ((333, 500), (167, 250), True),
     ((512, 512), (512, 500), False), ((400, 600), (600, 400), False)],
)  # fmt: skip
def test_photo_and_labels_may_differ_in_scale_only(
    photo_size: tuple[int, int], labels_size: tuple[int, int], same: bool
) -> None:
    assert same_proportions(photo_size, labels_size) is same
