"""The Open Inference Protocol: NVIDIA's client talks to it unchanged, labels are the engine's, errors are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import zoo
from segface_edge.engines import Engine, FakeEngine, Output, open_engine
from segface_edge.pictures.fitting import fit

from .running import GatedEngine, Running, labels_of, picture, problem, running, until

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The bundled model's."""
    return open_engine(zoo.DEFAULT_MODEL)


@pytest.fixture(scope="module")
def frames(engine: Engine) -> np.ndarray:
    """The portrait twice, the second one mirrored."""
    with Image.open(zoo.PORTRAIT) as opened:
        frame = fit(np.array(opened.convert("RGB")), engine.spec.size).pixels
    return np.stack([frame, frame[:, ::-1]])


@pytest.fixture(scope="module")
def real(engine: Engine) -> Iterator[Running]:
    """With the bundled model."""
    with running(engine) as server:
        yield server


class EverythingEngine(FakeEngine):
    """Gives labels, confidence and logits."""

    def __init__(self) -> None:
        super().__init__(np.zeros((32, 32)))
        self.spec = replace(self.spec, outputs=("labels", "confidence", "logits"))

    def run(self, frames: np.ndarray) -> Output:
        self.calls.append(len(frames))
        logits = np.zeros((len(frames), len(self.spec.classes), 32, 32), np.float32)
        logits[:, 3] = frames[..., 2] / np.float32(7)
        return Output(frames[..., 0] // 16, frames[..., 1].copy(), logits)


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """With an engine that gives everything."""
    with running(EverythingEngine(), max_body=400_000) as found:
        yield found


def test_tritonclient_reads_what_there_is(real: Running, engine: Engine) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="NVIDIA's client: pip install tritonclient[http]")
    with triton.InferenceServerClient(real.url.removeprefix("http://")) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("segface")
        assert client.is_model_ready("segface", "1")
        assert not client.is_model_ready("other")
        assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
        side = engine.spec.size
        assert client.get_model_metadata("segface") == {
            "name": "segface",
            "versions": ["1"],
            "platform": "onnxruntime",
            "inputs": [{"name": "frames", "datatype": "UINT8", "shape": [-1, side, side, 3]}],
            "outputs": [{"name": "labels", "datatype": "UINT8", "shape": [-1, side, side]}],
        }
        with pytest.raises(triton.InferenceServerException, match="there is no model 'other'"):
            client.get_model_metadata("other")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_tritonclient_infers_the_engine_s_labels(
    real: Running, engine: Engine, frames: np.ndarray, binary_in: bool, binary_out: bool | None
) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="NVIDIA's client: pip install tritonclient[http]")
    given = triton.InferInput("frames", list(frames.shape), "UINT8")
    given.set_data_from_numpy(frames, binary_data=binary_in)
    wanted = None if binary_out is None else [triton.InferRequestedOutput("labels", binary_data=binary_out)]
    with triton.InferenceServerClient(real.url.removeprefix("http://")) as client:
        reply = client.infer("segface", [given], outputs=wanted, request_id="seven")
        labels = reply.as_numpy("labels")
        assert reply.get_response()["id"] == "seven"
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, engine.infer(frames).labels)
    assert len(np.unique(labels)) > 5


def test_tritonclient_is_told_what_is_wrong(real: Running) -> None:
    triton = pytest.importorskip("tritonclient.http", reason="NVIDIA's client: pip install tritonclient[http]")
    given = triton.InferInput("frames", [1, 8, 8, 3], "UINT8")
    given.set_data_from_numpy(np.zeros((1, 8, 8, 3), np.uint8))
    with (
        triton.InferenceServerClient(real.url.removeprefix("http://")) as client,
        pytest.raises(triton.InferenceServerException, match=r"frames is UINT8 \[1, 8, 8, 3\]"),
    ):
        client.infer("segface", [given])


def asked(frames: np.ndarray, **more: Any) -> dict[str, Any]:
    tensor = {"name": "frames", "datatype": "UINT8", "shape": list(frames.shape), "data": frames.tolist()}
    return {"inputs": [tensor], **more}


def infer(server: Running, document: Any, binary: bytes = b"", **headers: str) -> Any:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    if binary:
        headers[LENGTH] = str(len(content))
    return server.client.post("/v2/models/segface/infer", content=content + binary, headers=headers)


def test_memory_is_given_back_after_tensors(real: Running, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[None] = []
    monkeypatch.setattr("segface_edge.serving.inference.after_work", lambda: given.append(None))
    assert infer(real, asked(frames)).status_code == 200
    assert len(given) == 1


def test_json_has_a_limit_that_bytes_have_not(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segface_edge.serving.tensors.MOST_NUMBERS", 32 * 32)
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    reply = infer(server, asked(frames, outputs=[{"name": "labels"}]))
    assert (reply.status_code, "ask for binary_data" in problem(reply)) == (413, True)
    binary = [{"name": "labels", "parameters": {"binary_data": True}}]
    assert infer(server, asked(frames, outputs=binary)).status_code == 200


def test_every_output_in_json_and_as_bytes(server: Running) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    wanted = EverythingEngine().run(frames)
    outputs = {"labels": wanted.labels, "confidence": wanted.confidence, "logits": wanted.logits}
    document = infer(server, asked(frames)).json()
    assert [tensor["name"] for tensor in document["outputs"]] == list(outputs)
    for tensor in document["outputs"]:
        values = outputs[tensor["name"]]
        np.testing.assert_array_equal(np.array(tensor["data"], values.dtype).reshape(tensor["shape"]), values)
    document = asked(frames, outputs=[{"name": "logits", "parameters": {"binary_data": True}}, {"name": "labels"}])
    reply = infer(server, document)
    length = int(reply.headers[LENGTH])
    logits, labels = json.loads(reply.content[:length])["outputs"]
    assert logits == {
        "name": "logits",
        "datatype": "FP32",
        "shape": list(wanted.logits.shape),
        "parameters": {"binary_data_size": wanted.logits.nbytes},
    }
    assert reply.content[length:] == wanted.logits.tobytes()
    assert labels["data"] == wanted.labels.reshape(-1).tolist()


def test_bytes_behind_json(server: Running) -> None:
    frames = np.full((1, 32, 32, 3), 48, np.uint8)
    tensor = {"name": "frames", "datatype": "UINT8", "shape": [1, 32, 32, 3]}
    tensor["parameters"] = {"binary_data_size": frames.nbytes}
    document = {"inputs": [tensor], "parameters": {"binary_data_output": True}, "outputs": [{"name": "labels"}]}
    reply = infer(server, document, frames.tobytes())
    assert reply.content[int(reply.headers[LENGTH]) :] == bytes([3]) * 32 * 32
    assert "id" not in json.loads(reply.content[: int(reply.headers[LENGTH])])


ZEROS = np.zeros((1, 32, 32, 3), np.uint8)
ONE = asked(ZEROS)


def changed(**values: Any) -> dict[str, Any]:
    return {"inputs": [{**ONE["inputs"][0], **values}]}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", "not JSON"),
        (b"[1]", "no JSON object"),
        (b"[" * 100_000, "not JSON"),
        ({}, "inputs is no list"),
        ({"inputs": [3]}, "inputs is no list"),
        ({"inputs": [{"datatype": "UINT8"}]}, "inputs is no list"),
        ({"inputs": [*ONE["inputs"], *ONE["inputs"]]}, "twice"),
        ({**ONE, "id": 7}, "id is no text"),
        ({**ONE, "outputs": [{"name": "boxes"}]}, "there is no output 'boxes'"),
        (changed(name="images"), "give frames"),
        (changed(name="\ud800"), r"the inputs are \ud800; give frames"),
        (changed(datatype="INT64"), "INT64"),
        (changed(datatype=["UINT8"]), "UINT8"),
        (changed(datatype={}), "{}"),
        (changed(datatype="FP32"), "frames is FP32"),
        (changed(shape=[32, 32, 3]), "frames is UINT8"),
        (changed(shape=[2, 32, 32, 3]), "3072 numbers"),
        (changed(shape=[0, 32, 32, 3], data=[]), "frames is UINT8"),
        (changed(shape=[-1, 32, 32, 3]), "shape"),
        (changed(shape="all"), "shape"),
        (changed(data=None), "no numbers"),
        (changed(data=["red"] * 3072), "no numbers"),
        (changed(data=[[1, 2], [3]]), "no numbers"),
        (changed(data=[256] * 3072), "not UINT8"),
        (changed(data=[0.5] * 3072), "not UINT8"),
        (changed(data=[-1] * 3072), "not UINT8"),
        (changed(parameters={"binary_data_size": 3072}), "binary_data_size"),
        (changed(parameters={"binary_data_size": "all"}), "binary_data_size"),
    ],
)
def test_requests_that_are_wrong(server: Running, document: Any, words: str) -> None:
    reply = infer(server, document)
    assert reply.status_code == 400
    assert words in problem(reply)


def test_lengths_that_are_wrong(server: Running) -> None:
    for length in ("x", "-1", "99999999", "9" * 5000):
        reply = infer(server, ONE, **{LENGTH: length})
        assert (reply.status_code, LENGTH in problem(reply)) == (400, True)
    reply = infer(server, ONE, b"more")
    assert (reply.status_code, "belong to no input" in problem(reply)) == (400, True)
    reply = infer(server, changed(parameters={"binary_data_size": 4}), b"more")
    assert (reply.status_code, "has 4 bytes" in problem(reply)) == (400, True)


def test_other_limits(server: Running) -> None:
    many = np.zeros((33, 32, 32, 3), np.uint8)
    tensor = {"name": "frames", "datatype": "UINT8", "shape": list(many.shape)}
    tensor["parameters"] = {"binary_data_size": many.nbytes}
    reply = infer(server, {"inputs": [tensor]}, many.tobytes())
    assert (reply.status_code, "33 frames" in problem(reply)) == (413, True)
    assert infer(server, bytes(400_001)).status_code == 413
    reply = infer(server, ONE, **{"Content-Encoding": "gzip"})
    assert (reply.status_code, "Content-Encoding" in problem(reply)) == (415, True)
    for path in ("other", "segface/versions/2"):
        for method, end in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
            reply = server.client.request(method, f"/v2/models/{path}{end}")
            assert (reply.status_code, "there is" in problem(reply)) == (404, True)


def test_frames_and_photos_share_the_engine_s_calls() -> None:

    gated = GatedEngine()
    with running(gated) as server, ThreadPoolExecutor(3) as pool:
        first = pool.submit(infer, server, asked(ZEROS))
        gated.wait_begun()
        frames = pool.submit(infer, server, asked(np.full((2, 32, 32, 3), 32, np.uint8)))
        photo = pool.submit(server.client.post, "/v1/parse?output=mask", content=picture(64))
        until(lambda: len(server.engine._waiting) == 2)
        gated.gate.set()
        assert first.result(20).status_code == 200
        assert set(frames.result(20).json()["outputs"][0]["data"]) == {2}
        assert np.unique(labels_of(photo.result(20).content)).tolist() == [4]
    assert gated.calls == [1, 3]
