"""POST /v1/parse gives what `FaceParser` gives, in every form; what is wrong has its status and one line."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParse, FaceParser, zoo
from segface_edge.engines import open_engine

from .running import GatedEngine, Running, labels_of, picture, problem, running


@pytest.fixture(scope="module")
def real() -> Iterator[Running]:
    """With the bundled model."""
    with running(open_engine(zoo.DEFAULT_MODEL), parsing={"locate": "auto"}) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """With an engine that sees red."""
    with running(GatedEngine(is_open=True), max_body=100_000, parsing={"max_pixels": 250_000}) as found:
        yield found


@pytest.fixture(scope="module")
def small() -> bytes:
    """The portrait, small."""
    buffer = BytesIO()
    with Image.open(zoo.PORTRAIT) as opened:
        opened.resize((160, 160)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def face(small: bytes, parser: FaceParser) -> FaceParse:
    """What the parser says of it."""
    return parser(small)


def without_times(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "timings_ms"}


def test_json_is_that_of_the_command_line(real: Running, small: bytes, face: FaceParse) -> None:
    reply = real.client.post("/v1/parse", content=small)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    document = reply.json()
    (photo,) = document["photos"]
    assert document["failed"] == []
    assert (photo["source"], photo["output"]) == ("picture", None)
    assert without_times(photo) == without_times({"source": "picture", "output": None, **face.to_json()})
    assert photo["faces"]
    assert set(photo["timings_ms"]) == {"decode", "locate", "fit", "inference", "restore"}


def test_a_mask_is_an_indexed_png_of_labels(real: Running, small: bytes, face: FaceParse) -> None:
    reply = real.client.post("/v1/parse?output=mask", content=small)
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png")
    np.testing.assert_array_equal(labels_of(reply.content), face.labels)
    with Image.open(BytesIO(reply.content)) as opened:
        assert opened.mode == "P"


@pytest.mark.parametrize("view", ["ids", "overlay", "color", "cutout"])
def test_views_are_the_parser_s(real: Running, small: bytes, face: FaceParse, view: str) -> None:
    reply = real.client.post(f"/v1/parse?output={view}&alpha=0.25", content=small)
    with Image.open(BytesIO(reply.content)) as opened:
        np.testing.assert_array_equal(np.array(opened), np.array(face.picture(view, alpha=0.25)))


def test_coco_is_the_parser_s(real: Running, small: bytes, face: FaceParse) -> None:
    reply = real.client.post("/v1/parse?output=coco&classes=hair,eyes", content=small)
    assert reply.json() == json.loads(json.dumps(face.only("hair", "eyes").to_coco(file_name="picture")))
    assert len(reply.json()["annotations"]) == 3


def test_another_order_and_some_classes(real: Running, small: bytes, face: FaceParse) -> None:
    reply = real.client.post("/v1/parse?output=mask&order=celebamask-hq&classes=hair", content=small)
    wanted = face.remap("celebamask-hq").only("hair").labels
    assert wanted.any()
    np.testing.assert_array_equal(labels_of(reply.content), wanted)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("image/png", "image/png"),
        ("image/jpeg", "image/jpeg"),
        ("text/html, image/webp;q=0.5", "image/webp"),
        ("image/png;q=0.1, application/json", "application/json"),
    ],
)
def test_the_accept_header_chooses(server: Running, accept: str, kind: str) -> None:
    reply = server.client.post("/v1/parse", content=picture(32), headers={"Accept": accept})
    assert (reply.status_code, reply.headers["content-type"]) == (200, kind)
    if kind.startswith("image/"):
        with Image.open(BytesIO(reply.content)) as opened:
            assert opened.format == {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}[kind]
            assert opened.mode == ("P" if kind == "image/png" else "RGB")  # the labels; an overlay


def test_what_curl_calls_data_is_a_picture(server: Running) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert server.client.post("/v1/parse", content=picture(), headers=headers).status_code == 200


def test_several_pictures_of_a_form(server: Running) -> None:
    files = [("file", (f"{red}.png", picture(red), "image/png")) for red in (16, 48)]
    files.insert(1, ("file", ("bad.jpg", b"no picture", "image/jpeg")))
    document = server.client.post("/v1/parse", files=files).json()
    order = server.parser.labels.classes
    assert [photo["source"] for photo in document["photos"]] == ["16.png", "48.png"]
    assert [photo["present"] for photo in document["photos"]] == [[order[1]], [order[3]]]
    ((source, error),) = [(one["source"], one["error"]) for one in document["failed"]]
    assert source == "bad.jpg"
    assert error.startswith("bad.jpg: is not a picture")
    whole = server.client.post("/v1/parse?output=coco", files=[files[0], files[2]]).json()
    assert [image["id"] for image in whole["images"]] == [0, 1]
    assert [(one["id"], one["image_id"], one["category_id"]) for one in whole["annotations"]] == [(1, 0, 1), (2, 1, 3)]
    assert len(whole["categories"]) == len(order) - 1


def test_forms_that_are_no_answer(server: Running) -> None:
    two = [("file", ("a.png", picture())), ("file", ("b.png", picture()))]
    reply = server.client.post("/v1/parse?output=mask", files=two)
    assert (reply.status_code, "cannot be one" in problem(reply)) == (400, True)
    reply = server.client.post("/v1/parse?output=coco", files=[two[0], ("file", ("bad.jpg", b"text"))])
    assert (reply.status_code, "bad.jpg" in problem(reply)) == (422, True)
    reply = server.client.post("/v1/parse", files=[("file", (f"{i}.jpg", b"text")) for i in range(2)])
    assert (reply.status_code, "0.jpg" in problem(reply)) == (422, True)
    reply = server.client.post("/v1/parse", files=[("file", (f"{i}.png", picture())) for i in range(65)])
    assert (reply.status_code, "64" in problem(reply)) == (400, True)
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + picture() + b"\r\n--x--\r\n"
    )
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    assert server.client.post("/v1/parse", content=whole, headers=form).json()["photos"][0]["source"] == "a.png"
    reply = server.client.post("/v1/parse", content=whole[:-20], headers=form)
    assert (reply.status_code, "cut off" in problem(reply)) == (400, True)
    for body in (b"--x\r\n\r\n\r\n--x--\r\n", b"--x--\r\n", b"text", b""):
        reply = server.client.post("/v1/parse", content=body, headers=form)
        assert (reply.status_code, "form" in problem(reply)) == (400, True), body
    reply = server.client.post("/v1/parse", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert (reply.status_code, "boundary" in problem(reply)) == (400, True)


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and has none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (422, b"", "is empty"),
        (422, b"this is text", "is not a picture that can be read"),
        (422, picture(side=1), "is only 1 x 1 pixels"),
        (422, picture(90, side=96)[:80], "is damaged"),
        (413, picture(side=512), "512 x 512 pixels, over the limit of 250000; send a smaller picture"),
        (413, png_header(60_000, 60_000), "pixels, over 500000000; send a smaller picture, of at most 250000 pixels"),
        (413, bytes(100_001), "over 100000 bytes"),
    ],
    ids=["empty", "text", "1x1", "cut", "large", "bomb", "long"],
)
def test_bodies_that_are_no_pictures(server: Running, status: int, body: bytes, words: str) -> None:
    for headers in ({"Content-Type": "image/jpeg"}, {}):
        reply = server.client.post("/v1/parse", content=body, headers=headers)
        assert reply.status_code == status
        assert words in problem(reply)
        assert "--" not in problem(reply)  # options are for who runs the server


def test_a_long_body_of_unknown_length(server: Running) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(30):
            yield bytes(10_000)

    reply = server.client.post("/v1/parse", content=parts())
    assert (reply.status_code, "over 100000 bytes" in problem(reply)) == (413, True)
    assert server.client.post("/v1/parse", content=picture()).status_code == 200


@pytest.mark.parametrize(
    ("status", "query", "headers", "words"),
    [
        (415, "", {"Content-Type": "text/plain"}, "text/plain"),
        (415, "", {"Content-Type": "application/json"}, "application/json"),
        (415, "", {"Content-Encoding": "gzip"}, "Content-Encoding"),
        (406, "", {"Accept": "text/html"}, "text/html"),
        (406, "?output=mask", {"Accept": "image/jpeg"}, "image/jpeg"),
        (400, "?output=pdf", {}, "pdf"),
        (400, "?alpha=2", {}, "alpha"),
        (400, "?alpha=nan", {}, "alpha"),
        (400, "?classes=tail", {}, "tail"),
        (400, "?order=nonsense", {}, "nonsense"),
        (400, "?size=3", {}, "size"),
    ],
)
def test_wishes_that_cannot_be_met(
    server: Running, status: int, query: str, headers: dict[str, str], words: str
) -> None:
    body = gzip.compress(picture()) if "Content-Encoding" in headers else picture()
    reply = server.client.post(f"/v1/parse{query}", content=body, headers=headers)
    assert reply.status_code == status
    assert words in problem(reply)


def test_other_addresses_and_methods(server: Running) -> None:
    for status, method, path in ((404, "GET", "/nothing"), (405, "GET", "/v1/parse"), (405, "POST", "/healthz")):
        reply = server.client.request(method, path)
        assert (reply.status_code, bool(problem(reply))) == (status, True)


class FailingEngine(GatedEngine):
    """Fails as nobody foresaw."""

    def run(self, frames: np.ndarray) -> Any:  # noqa: ARG002
        raise RuntimeError("a secret of the server's")


def test_a_fault_of_the_server_s_tells_nothing_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with running(FailingEngine()) as server:
        for _ in range(2):
            reply = server.client.post("/v1/parse", content=picture())
            assert reply.status_code == 500
            assert "secret" not in problem(reply)
        assert server.client.get("/readyz").status_code == 200
    assert "a secret of the server's" in caplog.text


def test_health_and_figures(server: Running) -> None:
    assert server.client.get("/healthz").json() == {"status": "ok"}
    assert server.client.get("/readyz").json() == {"ready": True}
    parsed = 'segface_edge_requests_total{endpoint="parse",status="200"}'
    before, calls = server.figure(parsed), server.figure("segface_edge_call_frames_count")
    server.client.post("/v1/parse", content=picture())
    assert server.figure(parsed) == before + 1
    assert server.figure("segface_edge_call_frames_count") == calls + 1
    assert server.figure('segface_edge_stage_seconds_count{stage="inference"}') >= 1
    assert server.figure("segface_edge_requests_in_work") == 0
    assert server.figure("process_resident_memory_bytes") > 0
