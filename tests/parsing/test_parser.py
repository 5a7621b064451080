"""FaceParser: photos in, `FaceParse` out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segface_edge import FaceParse, FaceParser, zoo
from segface_edge.engines import Engine
from segface_edge.errors import ImageError, ModelFileError, SegFaceEdgeError, UsageError
from segface_edge.labels import label_set
from segface_edge.pictures import reading

# The test engines of conftest.py, which test files cannot import.
MakeEngine = Callable[..., Any]
Array = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def parsed(parser: FaceParser) -> FaceParse:
    """The bundled portrait, parsed by the bundled model."""
    return parser(zoo.PORTRAIT)


def flat(height: int, width: int, red: int, green: int = 0) -> Array:
    return np.full((height, width, 3), (red, green, 0), np.uint8)


def test_every_kind_of_photo_gives_the_same_labels(parser: FaceParser, parsed: FaceParse, portrait: Path) -> None:
    rgb = reading.load(portrait)
    content = portrait.read_bytes()
    for photo in (str(portrait), rgb, content, Image.open(portrait)):
        assert np.array_equal(parser(photo).labels, parsed.labels), type(photo)
    assert np.array_equal(parser(np.ascontiguousarray(rgb[..., ::-1]), color="bgr").labels, parsed.labels)
    assert not np.array_equal(parser(np.ascontiguousarray(rgb[..., ::-1])).labels, parsed.labels)


def test_opencv_reads_bgr(echo_engine: MakeEngine, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.fromarray(flat(40, 40, 160)).save(path)
    parser = FaceParser(echo_engine(), locate="whole")
    assert (parser(path).labels == 10).all()
    assert (parser(cv2.imread(str(path)), color="bgr").labels == 10).all()


def test_the_result_is_a_photo_with_labels_of_the_models_order(parser: FaceParser, parsed: FaceParse) -> None:
    assert parsed.image.shape == (512, 512, 3)
    assert parsed.labels.shape == (512, 512)
    assert parsed.labels.dtype == np.uint8
    assert parsed.labels.max() < len(parser.labels)
    assert parsed.label_set == parser.labels == parser.spec.labels
    assert parser.labels.classes == label_set("segface").classes
    assert np.array_equal(parsed.image, reading.load(zoo.PORTRAIT))


def test_the_result_says_what_ran_where(parsed: FaceParse) -> None:
    assert parsed.engine == "onnxruntime on cpu"


@pytest.mark.parametrize("locate", ["self", "yunet"])
def test_the_face_of_a_portrait_is_found(locate: str) -> None:
    with FaceParser(locate=locate) as parser:
        parsed = parser(zoo.PORTRAIT)
    (box,) = parsed.faces
    assert box.score == 1 if locate == "self" else 0.9 < box.score < 1
    assert box.landmarks is not None
    for (x, y), name in zip(box.landmarks[:3], ("r_eye", "l_eye", "nose"), strict=True):
        assert parsed.mask(name)[int(y), int(x)]
    assert box.left < box.landmarks[0][0] < box.landmarks[1][0] < box.right
    assert box.top < box.landmarks[0][1] < box.landmarks[3][1] < box.bottom


def test_timings_name_every_stage(parsed: FaceParse) -> None:
    assert list(parsed.timings) == ["decode", "locate", "fit", "inference", "restore"]
    assert all(value > 0 for value in parsed.timings.values())


def centre(parsed: FaceParse, *classes: str) -> tuple[float, float]:
    """(x, y) of the centre of gravity, in pixels of the photo."""
    rows, columns = np.nonzero(parsed.mask(*classes))
    return float(columns.mean()), float(rows.mean())


def test_the_portraits_parts_lie_where_a_face_has_them(parsed: FaceParse) -> None:
    for part in ("skin", "hair", "nose", "l_eye", "r_eye", "l_brow", "r_brow", "u_lip", "l_lip"):
        assert part in parsed.present(min_pixels=100), part
    assert centre(parsed, "hair")[1] < centre(parsed, "skin")[1]
    # Left is the subject's: on the right of the picture.
    assert centre(parsed, "l_eye")[0] > centre(parsed, "nose")[0] > centre(parsed, "r_eye")[0]
    assert centre(parsed, "l_brow")[0] > centre(parsed, "r_brow")[0]
    brows, eyes, nose = (centre(parsed, part)[1] for part in ("brows", "eyes", "nose"))
    upper, lower = (centre(parsed, part)[1] for part in ("u_lip", "l_lip"))
    assert brows < eyes < nose < upper < lower
    assert 0.05 < parsed.mask("skin").mean() < 0.6


def test_the_mirrored_portrait_has_the_mirrored_labels(parser: FaceParser, parsed: FaceParse) -> None:
    mirrored = parser(np.ascontiguousarray(parsed.image[:, ::-1]))
    back = parser.labels.mirrored[mirrored.labels[:, ::-1]]
    assert (back == parsed.labels).mean() > 0.95
    for part in ("l_eye", "r_eye", "l_brow", "r_brow"):
        both = back == parser.labels.index(part)
        assert (both & parsed.mask(part)).sum() > 0.8 * parsed.mask(part).sum(), part


def test_a_batch_equals_one_by_one(parser: FaceParser) -> None:
    photos = [zoo.PORTRAIT, reading.load(zoo.ASTRONAUT)[:300, 60:400], Image.open(zoo.ASTRONAUT)]
    batch = parser.parse_batch(photos)
    assert [face.labels.shape for face in batch] == [(512, 512), (300, 340), (512, 512)]
    for photo, face in zip(photos, batch, strict=True):
        assert (parser(photo).labels == face.labels).mean() > 0.9999


def test_a_batch_keeps_photos_apart_and_in_order(echo_engine: MakeEngine) -> None:
    engine = echo_engine()
    shapes = [(40, 70), (16, 16), (90, 20), (33, 33), (64, 48)]
    photos = [flat(*shape, 16 * i, 10 * i) for i, shape in enumerate(shapes)]
    results = FaceParser(engine, locate="whole").parse_batch(photos)
    assert engine.calls == [5]
    for i, (shape, result) in enumerate(zip(shapes, results, strict=True)):
        assert result.labels.shape == shape
        assert (result.labels == i).all()
        assert result.confidence is not None
        assert (result.confidence == 10 * i).all()
        assert np.array_equal(result.image, photos[i])


def test_a_models_fixed_batch_is_filled_up(echo_engine: MakeEngine) -> None:
    engine = echo_engine(batch=4)
    results = FaceParser(engine, locate="whole").parse_batch([flat(20, 20, 16 * i) for i in range(6)])
    assert engine.calls == [4, 4]
    assert [int(result.labels[0, 0]) for result in results] == list(range(6))


def test_an_empty_batch_is_an_empty_list_and_runs_nothing(echo_engine: MakeEngine) -> None:
    engine = echo_engine()
    assert FaceParser(engine, locate="whole").parse_batch([]) == []
    assert engine.calls == []


@pytest.mark.parametrize("photo", ["photo.jpg", Path("photo.jpg"), b"bytes"], ids=["text", "path", "bytes"])
def test_one_photo_is_no_batch(echo_engine: MakeEngine, photo: Any) -> None:
    with pytest.raises(UsageError, match="got one photo"):
        FaceParser(echo_engine(), locate="whole").parse_batch(photo)


def test_a_stack_of_arrays_is_a_batch(echo_engine: MakeEngine) -> None:
    stack = np.stack([flat(20, 20, 16 * i) for i in range(3)])
    assert [int(r.labels[0, 0]) for r in FaceParser(echo_engine(), locate="whole").parse_batch(stack)] == [0, 1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 300), (300, 17), (1500, 4000), (31, 33)])
def test_labels_have_the_photos_size_and_fill_it(constant_engine: MakeEngine, height: int, width: int) -> None:
    parser = FaceParser(constant_engine(np.full((64, 64), 7)), locate="whole")
    result = parser(np.zeros((height, width, 3), np.uint8))
    assert result.labels.shape == (height, width)
    assert (result.labels == 7).all(), "what is padding in the frame must not show in the photo"
    assert result.confidence is None


def test_labels_lie_over_what_they_were_found_in(echo_engine: MakeEngine) -> None:
    photo = flat(60, 200, 0)
    photo[:, 100:] = (160, 0, 0)
    photo[30:] += np.array([48, 0, 0], np.uint8)
    labels = FaceParser(echo_engine(64), locate="whole")(photo).labels
    for rows, columns, label in (
        (np.s_[:25], np.s_[:90], 0),
        (np.s_[35:], np.s_[:90], 3),
        (np.s_[:25], np.s_[110:], 10),
        (np.s_[35:], np.s_[110:], 13),
    ):
        assert (labels[rows, columns] == label).all()


def test_an_upright_photo_is_what_comes_back(echo_engine: MakeEngine, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(flat(20, 50, 32)).save(tmp_path / "phone.png", exif=exif)
    result = FaceParser(echo_engine(), locate="whole")(tmp_path / "phone.png")
    assert result.image.shape == (50, 20, 3)
    assert result.labels.shape == (50, 20)


def test_two_parsers_give_the_same_labels(parsed: FaceParse) -> None:
    with FaceParser(zoo.DEFAULT_MODEL, threads=1) as again:
        assert (again(zoo.PORTRAIT).labels == parsed.labels).mean() > 0.9999


def test_the_with_statement_closes_the_engine(constant_engine: MakeEngine) -> None:
    engine = constant_engine(np.zeros((32, 32)))
    with FaceParser(engine, locate="whole") as parser:
        assert parser.engine is engine
        assert not engine.closed
    assert engine.closed


def test_an_error_inside_the_with_statement_closes_the_engine_and_is_not_swallowed(constant_engine: MakeEngine) -> None:
    engine = constant_engine(np.zeros((32, 32)))
    with pytest.raises(ImageError), FaceParser(engine, locate="whole") as parser:
        parser("absent.jpg")
    assert engine.closed


def test_warmup_runs_the_engine(constant_engine: MakeEngine) -> None:
    engine = constant_engine(np.zeros((32, 32)))
    FaceParser(engine, locate="whole").warmup(3)
    assert engine.calls == [1, 1, 1]


def test_a_bad_photo_in_a_batch_is_named(echo_engine: MakeEngine, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        FaceParser(echo_engine(), locate="whole").parse_batch([flat(20, 20, 0), tmp_path / "bad.jpg"])


def test_max_pixels_bounds_the_photo(echo_engine: MakeEngine) -> None:
    parser = FaceParser(echo_engine(), locate="whole", max_pixels=400)
    assert parser(flat(20, 20, 0)).labels.shape == (20, 20)
    with pytest.raises(ImageError, match="over the limit of 400"):
        parser(flat(20, 21, 0))


def test_an_unknown_channel_order_is_refused(echo_engine: MakeEngine) -> None:
    with pytest.raises(UsageError, match="'gray'"):
        FaceParser(echo_engine(), locate="whole")(flat(20, 20, 0), color="gray")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"locate": "nowhere"}, r"locate='nowhere': is unknown; use one of: auto, yunet, self, whole"),
        ({"device": "tpu"}, r"device 'tpu'"),
        ({"device": "cpu:1"}, r"device 'cpu:1'"),
        ({"engine": "rknn"}, r"engine 'rknn': is unknown; use one of: onnxruntime"),
        ({"model": "model.rknn"}, r"model\.rknn: no engine runs '\.rknn' files"),
        ({"model": "model"}, r"no engine runs '' files"),
        ({"threads": 0}, r"threads 0"),
    ],
    ids=str,
)
def test_what_does_not_exist_is_a_usage_error_with_the_known_ones(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as caught:
        FaceParser(**options)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("given", ["segface/mobilenet_celeba_512", "mobilenet_celeba_512", zoo.DEFAULT_BACKBONE])
def test_a_name_instead_of_a_file_is_answered_with_what_takes_names(given: str) -> None:
    with pytest.raises(UsageError, match="is a model's name, not a file; use FaceParser.from_pretrained") as caught:
        FaceParser(given)
    assert given in caught.value.cure


def test_an_unknown_name_is_answered_with_where_names_are() -> None:
    with pytest.raises(UsageError, match="'segface/vgg': is unknown; see what there is: segface-edge models list"):
        FaceParser("segface/vgg")


def test_a_file_in_a_folder_that_is_called_as_names_begin_is_a_file() -> None:
    with pytest.raises(ModelFileError, match=r"segface/absent\.onnx: no such file"):
        FaceParser("segface/absent.onnx")


def test_a_missing_model_is_named() -> None:
    with pytest.raises(ModelFileError, match=r"absent\.onnx: no such file"):
        FaceParser("absent.onnx")


def test_errors_have_one_base_and_one_line(tmp_path: Path) -> None:
    with pytest.raises(SegFaceEdgeError) as caught:
        FaceParser(tmp_path / "line\nbreak.onnx")
    assert "\n" not in str(caught.value)


def test_an_engine_of_ones_own_is_an_engine(echo_engine: MakeEngine) -> None:
    engine = echo_engine()
    assert isinstance(engine, Engine)
    assert FaceParser(engine, locate="whole").engine is engine


def test_parsing_imports_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; from segface_edge import FaceParser, zoo; FaceParser()(zoo.PORTRAIT);"
        "print([name for name in ('torch', 'onnx', 'tensorrt', 'pycuda', 'safetensors') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_closing_twice_is_fine_and_a_closed_parser_says_so(portrait: Path) -> None:
    with FaceParser() as parser:
        parser.close()
    with pytest.raises(UsageError, match="is closed"):
        parser(portrait)


def test_photos_may_come_from_a_generator(parser: FaceParser, portrait: Path) -> None:
    assert [face.labels.shape for face in parser.parse_batch(path for path in [portrait, portrait])] == [(512, 512)] * 2


def test_one_picture_is_not_a_batch(parser: FaceParser, portrait: Path) -> None:
    with Image.open(portrait) as picture:
        for one in (picture, np.asarray(picture)):
            with pytest.raises(UsageError, match="got one photo"):
                parser.parse_batch(one)  # type: ignore[arg-type]
