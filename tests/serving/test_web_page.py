"""The page of `export --web` in a browser: its labels are Python's, it is drawn and used like the live page, and says
what runs and what cannot."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="the page is tested with playwright")
if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect

from segface_edge import FaceParser, zoo
from segface_edge.pictures.fitting import fit
from segface_edge.serving.web import write_page
from segface_edge.serving.web_runtime import find_runtime

ROOT = Path(__file__).parents[2]
_SPEC = spec_from_file_location("live_page", ROOT / "docs" / "live_page.py")
assert _SPEC is not None
assert _SPEC.loader is not None
live_page = module_from_spec(_SPEC)
_SPEC.loader.exec_module(live_page)

pytestmark = pytest.mark.slow
expect.set_options(timeout=60_000)
HAIR = (64, 160, 72)
FACES = 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model's page, with the runtime that npm put into the repository's folder."""
    found = [ROOT / name / "onnxruntime-web" for name in ("node_modules", ".node/node_modules")]
    package = next((one for one in found if one.is_dir()), None)
    if package is None:
        pytest.skip("no onnxruntime-web here: npm install --prefix .node onnxruntime-web@1.30.0")
    made: Path = tmp_path_factory.mktemp("web") / "page"
    write_page(zoo.DEFAULT_MODEL, made, find_runtime(package))
    return made


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with live_page.files(folder) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    camera = live_page.clip(tmp_path_factory.mktemp("camera") / "camera.mjpeg")
    with live_page.browser(camera) as found:
        yield found


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., tuple[Page, list[str], list[str]]]]:
    """Opens an address: the page, what the browser says of it, and what it asks for. `before` is called first."""
    with ExitStack() as contexts:

        def go(at: str, before: Callable[[Page], Any] | None = None) -> tuple[Page, list[str], list[str]]:
            page = contexts.enter_context(chromium.new_context(viewport={"width": 1280, "height": 900})).new_page()
            page.set_default_timeout(60_000)
            said: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: said.append(f"error: {error}"))
            page.on("request", lambda request: asked.append(request.url))
            if before is not None:
                before(page)
            page.goto(at)
            return page, said, asked

        yield go


def text_of(pixels: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()


def labels_of(text: str, *shape: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)


def scene(photo: np.ndarray, size: tuple[int, int], turn: float, side: int) -> np.ndarray:
    """A photo, turned by some degrees, on a larger grey one."""
    whole = Image.new("RGB", size, (90, 100, 110))
    small = Image.fromarray(photo).resize((side, side)).rotate(turn, Image.Resampling.BICUBIC, fillcolor=(90, 100, 110))
    whole.paste(small, (size[0] // 3, size[1] // 5))
    return np.asarray(whole)


def test_labels_are_those_of_python(
    visit: Callable[..., Any], address: str, parser: FaceParser, request: pytest.FixtureRequest
) -> None:
    paths = [zoo.PORTRAIT, zoo.ASTRONAUT]
    if (ROOT.parent / "shared").is_dir():
        paths += sorted((request.getfixturevalue("faces") / "images").glob("*.jpg"))[:FACES]
        assert len(paths) == FACES + 2
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    page, _, _ = visit(address)
    told = page.evaluate(live_page.ENGINE, {"engine": "wasm"})
    assert told["device"] == "WASM, 1 thread"
    assert told["checked"] == "100.00 % of the built-in picture's labels are Python's"
    size = parser.engine.spec.size
    equal = []
    for photo in photos:
        square = fit(photo, size).pixels
        found = labels_of(page.evaluate("(square) => run(square)", text_of(square)), size, size)
        equal.append((found == parser.engine.run(square[None]).labels[0]).mean())
    assert np.mean(equal) >= 0.9999

    # The whole way, from a photo's pixels to its label map: portraits, faces askew, two in a photo.
    small, askew = scene(photos[1], (640, 480), 14, 300), scene(photos[0], (900, 700), -9, 420)
    two = np.concatenate([scene(photos[0], (600, 500), 0, 330), scene(photos[1], (600, 500), 5, 330)], axis=1)
    for photo, faces, least in ((photos[0], 1, 1.0), (small, 1, 0.999), (askew, 1, 0.999), (two, 2, 0.999)):
        height, width = photo.shape[:2]
        found = page.evaluate("(picture) => parse(picture)", [text_of(photo), width, height])
        wanted = parser(photo)
        boxes = [[face.left, face.top, face.right, face.bottom] for face in wanted.faces]
        assert len(boxes) == faces
        assert np.allclose(found["boxes"], boxes, atol=0.5)
        labels = labels_of(found["labels"], height, width)
        either = (labels > 0) | (wanted.labels > 0)
        assert either.mean() > 0.01
        assert (labels == wanted.labels)[either].mean() >= least
    empty = np.full((200, 300, 3), 128, np.uint8)
    found = page.evaluate("(picture) => parse(picture)", [text_of(empty), 300, 200])
    assert found["boxes"] == []
    assert not labels_of(found["labels"], 200, 300).any()


def test_a_sample_and_a_camera_are_parsed_and_drawn(visit: Callable[..., Any], address: str) -> None:
    page, said, asked = visit(address)
    expect(page.locator("#status")).to_have_text("Ready: WASM, 1 thread")
    model = page.locator("#model").inner_text()
    for words in ("not cross-origin isolated", "100.00 % of the built-in", "onnxruntime-web 1.", "non-commercial"):
        assert words in model
    assert "not used: " in model.partition("WebGPU")[2]
    expect(page.locator("#privacy")).to_contain_text("nothing is sent anywhere")
    page.get_by_role("button", name="Try a sample").click()
    live_page.wait_for(page, "document.getElementById('rate').dataset.answers >= 1", 60)
    live_page.wait_for(page, "document.getElementById('picture').getAttribute('aria-label').includes('hair 2')", 60)
    page.locator("#strength").fill("100")
    page.wait_for_timeout(300)
    address_of = page.evaluate("document.getElementById('picture').toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(address_of.partition(",")[2]))) as picture:
        shown = np.array(picture.convert("RGB"))
    assert (shown == HAIR).all(axis=2).mean() > 0.1
    page.get_by_role("button", name="Camera", exact=True).click()
    live_page.wait_for(page, "document.getElementById('rate').dataset.answers >= 4", 120)
    for name in ("trip", "total"):
        assert float(page.locator(f"#{name}").inner_text()) > 0
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Pause")).to_have_attribute("aria-pressed", "true")
    assert said == []
    assert {one.partition("//")[2].partition("/")[0] for one in asked if not one.startswith("blob:")} == {
        address.partition("//")[2]
    }


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core, one thread")
def test_threads_where_the_server_isolates_the_page(folder: Path, visit: Callable[..., Any]) -> None:
    with live_page.files(folder, isolated=True) as address:
        page, said, _ = visit(f"{address}/?threads=2")
        expect(page.locator("#status")).to_have_text("Ready: WASM, 2 threads")
        assert "100.00 % of the built-in" in page.locator("#model").inner_text()
        assert said == []


def test_what_cannot_run_is_said_with_its_cure(folder: Path, visit: Callable[..., Any], address: str) -> None:
    page, _, _ = visit(f"{address}/?engine=webgpu")
    title, cure = page.locator("#notice h2"), page.locator("#notice h2 + p")
    expect(title).to_have_text("WebGPU does not run the model here")
    expect(cure).to_contain_text("It was asked for, but")
    expect(page.get_by_role("status")).to_have_text("WebGPU does not run the model here")

    page, _, _ = visit(address, lambda page: page.route("**/faces.onnx", lambda route: route.fulfill(status=404)))
    title, cure = page.locator("#notice h2"), page.locator("#notice h2 + p")
    expect(title).to_have_text("A file is missing")
    expect(cure).to_have_text("faces.onnx is not beside this page (404): copy the whole folder.")
    page.unroute("**/faces.onnx")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#status")).to_have_text("Ready: WASM, 1 thread")

    other = bytearray((folder / "check.bin").read_bytes())
    other[-5000:] = bytes(5000 * [250])
    answer = {"body": bytes(other)}
    page, _, _ = visit(address, lambda page: page.route("**/check.bin", lambda route: route.fulfill(**answer)))
    expect(page.locator("#notice h2")).to_have_text("This browser computes other labels")


def test_a_page_opened_as_a_file_says_what_it_needs(folder: Path, visit: Callable[..., Any]) -> None:
    page, _, _ = visit((folder / "index.html").as_uri())
    expect(page.locator("#notice h2")).to_have_text("This page needs a web server")
    expect(page.locator("#notice h2 + p")).to_contain_text("python3 -m http.server --bind 127.0.0.1")
