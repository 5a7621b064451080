"""The programs in docs/examples do what they say, each in under 30 lines."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.pictures import reading


def run(root: Path, name: str, target: Path, *arguments: str) -> np.ndarray:
    """The picture that an example makes of the portrait."""
    program = root / "docs" / "examples" / f"{name}.py"
    assert len(program.read_text().splitlines()) < 30
    words = [str(target) if word == "TARGET" else word for word in arguments]
    done = subprocess.run(
        [sys.executable, str(program), str(zoo.PORTRAIT), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(target) as picture:
        return np.asarray(picture).astype(int)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return reading.load(zoo.PORTRAIT).astype(int)


def roughness(picture: np.ndarray, where: np.ndarray) -> float:
    """Mean difference of neighbours."""
    return float(np.abs(np.diff(picture.sum(2), axis=1))[where[:, 1:]].mean())


def test_a_face_is_blurred_and_nothing_else(
    root: Path, tmp_path: Path, portrait: np.ndarray, parser: FaceParser
) -> None:
    made = run(root, "blur_faces", tmp_path / "out.png", "TARGET")
    face = parser(zoo.PORTRAIT)
    eyes = face.mask("eyes")
    assert roughness(made, eyes) < roughness(portrait, eyes) / 4
    hair = face.mask("hair")
    assert np.abs(made - portrait)[hair].mean() < 3
    assert np.abs(made - portrait)[:100, :100].max() == 0


def test_hair_gets_its_colour_and_keeps_its_light(
    root: Path, tmp_path: Path, portrait: np.ndarray, parser: FaceParser
) -> None:
    made = run(root, "hair_colour", tmp_path / "out.png", "TARGET", "150", "40", "160")
    hair = parser(zoo.PORTRAIT).mask("hair")
    red, green, blue = made[hair].mean(0)
    assert red > green + 30
    assert blue > green + 30
    assert abs(made[hair].mean() - portrait[hair].mean()) < 40
    assert np.abs(made - portrait)[400:, 200:300].max() <= 6  # rounding of the way to Lab and back


def test_the_background_is_another(root: Path, tmp_path: Path, portrait: np.ndarray, parser: FaceParser) -> None:
    nose = parser(zoo.PORTRAIT).mask("nose")
    for behind in ("#204060", str(zoo.ASTRONAUT)):
        made = run(root, "background", tmp_path / "out.png", behind, "TARGET")
        assert np.abs(made - portrait)[nose].max() == 0
        wanted = np.array([0x20, 0x40, 0x60]) if behind.startswith("#") else reading.load(zoo.ASTRONAUT)[:40, :40]
        assert np.abs(made[:40, :40] - wanted).max() <= 1


@pytest.fixture
def server(parser: FaceParser) -> Iterator[str]:
    """The address of a server with the bundled model, which answers as the protocol says that Triton speaks too: Open
    Inference Protocol, version 2, with binary tensors."""
    side = parser.spec.size

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            assert self.path == "/v2/models/faces"
            frames = {"name": "frames", "datatype": "UINT8", "shape": [-1, side, side, 3]}
            labels = {"name": "labels", "datatype": "UINT8", "shape": [-1, side, side]}
            document = {"name": "faces", "platform": "", "versions": ["1"], "inputs": [frames], "outputs": [labels]}
            self.answer(json.dumps(document).encode())

        def do_POST(self) -> None:
            assert self.path == "/v2/models/faces/infer"
            content = self.rfile.read(int(self.headers["Content-Length"]))
            length = int(self.headers["Inference-Header-Content-Length"])
            (asked,) = json.loads(content[:length])["inputs"]
            assert (asked["name"], asked["datatype"], asked["shape"]) == ("frames", "UINT8", [1, side, side, 3])
            frames = np.frombuffer(content[length:], np.uint8).reshape(asked["shape"])
            tensor = parser.engine.infer(frames).labels.tobytes()
            output = {"name": "labels", "datatype": "UINT8", "shape": [1, side, side]}
            output["parameters"] = {"binary_data_size": len(tensor)}
            head = json.dumps({"model_name": "faces", "model_version": "1", "outputs": [output]}).encode()
            self.answer(head + tensor, {"Inference-Header-Content-Length": str(len(head))})

        def answer(self, content: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(200)
            for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_client_of_triton_gets_the_parser_s_labels(root: Path, tmp_path: Path, server: str) -> None:
    pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    made = run(root, "triton_client", tmp_path / "mask.png", server, "faces", "TARGET")
    with FaceParser(locate="whole") as parser:
        assert np.array_equal(made, parser(zoo.PORTRAIT).labels)


@pytest.mark.slow
def test_a_class_more_begins_as_the_one_that_it_looks_like(root: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="weights need torch")
    safetensors = pytest.importorskip("safetensors", reason="weights need safetensors")
    given, made = zoo.DEFAULT_CHECKPOINT, tmp_path / "start.safetensors"
    for words in (["start", f"{given}", "-o", f"{made}"], ["labels", "mine"]):
        program = [sys.executable, str(root / "docs" / "examples" / "own_classes.py"), *words]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3::2] == ["19", "beard"]
    with safetensors.safe_open(given, "pt") as before, safetensors.safe_open(made, "pt") as after:
        assert after.metadata()["label_order"] == "mine"
        assert sum(name.endswith("_token.weight") for name in after.keys()) == 20  # noqa: SIM118 - no dictionary
        new, like = (
            file.get_tensor(f"face_decoder.{name}_token.weight")
            for file, name in ((after, "class19"), (before, "face"))
        )
        assert (new == like).all()
