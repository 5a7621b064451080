"""Photos through models that warp faces: what they are shown, and where their labels come back to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.engines import Output
from segface_edge.engines.warped import infer_squares
from segface_edge.errors import UsageError
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.warping import warp_square

MakeEngine = Callable[..., Any]
SIZE = 128
# Of the bundled astronaut, by eye: the eyes, the nose, the mouth's corners.
POINTS = [(204.0, 105.0), (247.0, 105.0), (224.0, 128.0), (205.0, 145.0), (243.0, 145.0)]


@pytest.fixture
def engine(echo_engine: MakeEngine) -> Any:
    """Labels are the red of what the engine is shown, confidence its green; the frames are kept."""
    made = echo_engine(SIZE)
    made.spec = replace(made.spec, warp="outside")
    made.seen = []
    run = made.run

    def kept(frames: npt.NDArray[np.uint8]) -> Output:
        made.seen.append(frames.copy())
        output: Output = run(frames)
        return output

    made.run = kept
    return made


def sky() -> npt.NDArray[np.uint8]:
    """The astronaut's photo, red rising from left to right and green from above."""
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    return np.stack([np.tile(ramp, (512, 1)), np.tile(ramp[:, None], (1, 512)), np.zeros((512, 512), np.uint8)], -1)


def test_the_engine_is_shown_the_warped_photo_and_its_labels_come_back(engine: Any) -> None:
    photo = sky()
    face = FaceParser(engine, locate="whole")(photo, landmarks=POINTS)
    square = fitting.fit(photo, SIZE).pixels
    points = np.array(POINTS) * SIZE / 512
    assert np.array_equal(engine.seen[0][0], warp_square(square, points))
    assert face.labels.shape == (512, 512)
    assert face.confidence is not None
    # One pixel of the square to the right and down, as the authors have it; borders of stripes are 16 pixels apart.
    near = np.s_[60:180, 150:300]
    wanted = np.roll(photo, (4, 4), (0, 1))
    assert (face.labels == wanted[..., 0] // 16)[near].mean() > 0.9
    assert np.abs(face.confidence.astype(int) - wanted[..., 1])[near].max() <= 4
    assert face.faces[0].landmarks == tuple(POINTS)


def test_landmarks_come_from_the_detector(engine: Any) -> None:
    with FaceParser(engine) as parser:
        face = parser(zoo.ASTRONAUT)
        (box,) = face.faces
        assert box.landmarks is not None
        assert np.abs(np.array(box.landmarks) - POINTS).max() < 4
        given = parser(zoo.ASTRONAUT, landmarks=box.landmarks)
        # More is shown than of a model that does not warp, so that nothing of the head is cut off.
        assert np.array_equal(engine.seen[0], engine.seen[1])
        assert np.array_equal(given.labels, face.labels)
        assert given.locator == "landmarks"


def test_several_faces_and_photos_each_have_their_own(engine: Any) -> None:
    photo = reading.load(zoo.ASTRONAUT)
    two = np.concatenate([photo, photo], axis=1)
    both = [POINTS, [(x + 512, y) for x, y in POINTS]]
    with FaceParser(engine) as parser:
        faces = parser.parse_batch([photo, two], landmarks=[POINTS, both])
        streamed = list(parser.stream([zoo.ASTRONAUT.read_bytes()] * 2, landmarks=[POINTS, POINTS]))
    assert [len(face.faces) for face in faces] == [1, 2]
    shown = engine.seen[0]
    assert len(shown) == 3
    assert np.abs(shown[0].astype(int) - shown[2]).mean() < 3
    assert all(np.array_equal(one.face.labels, faces[0].labels) for one in streamed if one.face is not None)
    assert [one.error for one in streamed] == [None, None]


def test_no_face_is_no_label(engine: Any) -> None:
    face = FaceParser(engine)(np.full((300, 200, 3), 128, np.uint8))
    assert (face.faces, face.locator, engine.seen) == ((), "yunet", [])
    assert not face.labels.any()


def test_logits_are_brought_back_as_logits(engine: Any) -> None:
    def run(frames: npt.NDArray[np.uint8]) -> Output:
        planes = np.stack([frames[..., 0], 255 - frames[..., 0]], 1).astype(np.float32)
        return Output(planes.argmax(1).astype(np.uint8), None, planes)

    engine.run = run
    square = fitting.fit(sky(), SIZE).pixels
    output = infer_squares(engine, square[None], [tuple((x / 4, y / 4) for x, y in POINTS)])
    assert output.logits is not None
    assert np.array_equal(output.labels, output.logits.argmax(1))
    # Red and its complement meet in the middle; masks alone are as near to it as a pixel.
    assert np.abs((output.labels[0] == 1).sum(1)[40:90] - SIZE / 2).max() <= 2


@pytest.mark.parametrize("boxes", [None, [(150, 40, 300, 190)]])
def test_no_landmarks_is_one_line(engine: Any, boxes: Any) -> None:
    parser = FaceParser(engine, locate="whole" if boxes is None else "auto")
    with pytest.raises(UsageError, match=r"fake: warps faces by five landmarks, and there are none; give them"):
        parser(zoo.ASTRONAUT, boxes=boxes)


def test_a_model_that_warps_cannot_find_faces_itself(engine: Any) -> None:
    with pytest.raises(UsageError, match=r"locate='self': fake warps faces by landmarks"):
        FaceParser(engine, locate="self")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"landmarks": POINTS[:4]}, r"landmarks of shape \(4, 2\)"),
        ({"landmarks": [(x + 900, y) for x, y in POINTS]}, "landmarks: lie outside the picture of 512 x 512"),
        ({"landmarks": POINTS, "boxes": [(1, 2, 90, 90)]}, "boxes and landmarks: both say where faces are"),
    ],
)
def test_wrong_landmarks_are_refused(engine: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FaceParser(engine)(zoo.ASTRONAUT, **options)


def test_landmarks_locate_faces_for_any_model(echo_engine: MakeEngine) -> None:
    face = FaceParser(echo_engine(SIZE))(zoo.ASTRONAUT, landmarks=POINTS)
    assert face.locator == "landmarks"
    assert face.faces[0].left < 204 < 247 < face.faces[0].right


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of LaPa with random weights, whose network warps."""
    torch = pytest.importorskip("torch", reason="checkpoints need torch")
    from segface_edge.network import build_segface
    from segface_edge.network.checkpoint import write_checkpoint

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "lapa.safetensors"
    write_checkpoint(path, build_segface("mobilenet", "lapa", 64, warps=True), trained_size=64, terms="none", notes={})
    return path


def test_a_checkpoint_labels_a_photo_as_its_network_does(weights: Path) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints need torch")
    from segface_edge.network.checkpoint import load_segface, read_checkpoint
    from segface_edge.network.deploy import normalise

    with FaceParser(weights, locate="whole") as parser:
        assert (parser.spec.warp, parser.labels.name) == ("outside", "lapa")
        photo = fitting.fit(reading.load(zoo.ASTRONAUT), 64).pixels
        points = np.array(POINTS) / 8
        face = parser(photo, landmarks=points)
    network = load_segface(read_checkpoint(weights), backbone="mobilenet", labels=None, image_size=64, source="weights")
    with torch.inference_mode():
        frames = normalise(torch.from_numpy(photo[None].copy()))
        logits = network(frames, torch.tensor(points[None], dtype=torch.float32))
    assert (face.labels == logits[0].argmax(0).numpy()).mean() > 0.98


def test_the_command_line_takes_files_of_landmarks(weights: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    points = tmp_path / "points.txt"
    points.write_text("\n".join(f"{x} {y}" for x, y in POINTS))
    result = cli("parse", zoo.ASTRONAUT, "--model", weights, "--landmarks", points, "--json", "-")
    assert result.code == 0, result.err
    (photo,) = json.loads(result.out)["photos"]
    assert photo["faces"][0]["landmarks"] == [list(point) for point in POINTS]

    photos, files = tmp_path / "photos", tmp_path / "files"
    photos.mkdir()
    files.mkdir()
    for name in ("a", "b"):
        Image.open(zoo.ASTRONAUT).save(photos / f"{name}.png")
    (files / "a.txt").write_text(points.read_text())
    result = cli("parse", photos, "--model", weights, "--landmarks", files, "-o", tmp_path / "out")
    assert (result.code, result.err.splitlines()[-1].partition("b.txt: ")[2][:12]) == (1, "no such file")
    assert not (tmp_path / "out").exists()
    (files / "b.txt").write_text("5\n" + points.read_text())
    result = cli("parse", photos, "--model", weights, "--landmarks", files, "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]
    result = cli("parse", photos, "--model", weights, "--landmarks", points, "-o", tmp_path / "out")
    assert (result.code, "is no folder" in result.err) == (2, True)
    result = cli("parse", zoo.ASTRONAUT, "--model", weights, "--locate", "whole", "--json", "-")
    assert (result.code, len(result.err.splitlines())) == (2, 1)
    assert "warps faces by five landmarks" in result.err
