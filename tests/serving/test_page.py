"""The live page in a browser: what it draws, what it says, and that it works by keyboard and on a phone."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

for needed in ("playwright", "starlette", "uvicorn", "httpx"):
    pytest.importorskip(needed, reason="the live page is tested with playwright and the extra serve")
if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
    pytest.skip("no Chromium here: apt-get install chromium", allow_module_level=True)

from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from segface_edge import zoo
from segface_edge.sources.video_out import VideoWriter

from .running import running

_SPEC = spec_from_file_location("live_page", Path(__file__).parents[2] / "docs" / "live_page.py")
assert _SPEC is not None
assert _SPEC.loader is not None
live_page = module_from_spec(_SPEC)
_SPEC.loader.exec_module(live_page)

pytestmark = pytest.mark.slow

# Of everything that is waited for: a machine may be busy.
expect.set_options(timeout=20_000)
TOKEN = "a-token+of/the-tests=="
# A name of this machine that is not loopback's: a browser gives its pages no camera over http.
NAME = "face.test"
HAIR = (64, 160, 72)
HELLO = {
    "type": "hello", "model": "m.onnx", "backbone": "b", "device": "cpu", "engine": "onnxruntime", "version": "1",
    "classes": [{"id": 0, "name": "background", "color": "#000000"}, {"id": 1, "name": "hair", "color": "#40a048"}],
}  # fmt: skip
# Of each text outside of the picture: what it says, its colour, and that of what lies behind it.
TEXTS = """() => {
  const found = [];
  for (const one of document.querySelectorAll("body *:not(script, option)")) {
    const text = [...one.childNodes].filter((part) => part.nodeType === 3).map((part) => part.data.trim()).join("");
    if (!text || !one.checkVisibility() || one.closest("#stage, :disabled, .unseen")) continue;
    let behind = one;
    while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    found.push([text, getComputedStyle(one).color, getComputedStyle(behind).backgroundColor]);
  }
  return found;
}"""


def luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(…)`."""
    parts = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """WCAG's, from 1 to 21."""
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


@dataclass
class Visit:
    """A page, and what the browser had to say of it."""

    page: Page
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def click(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def wait_for(self, condition: str) -> None:
        live_page.wait_for(self.page, condition)

    def wait_for_answers(self, more: int) -> None:
        wanted = live_page.answers(self.page) + more
        self.wait_for(f"document.getElementById('rate').dataset.answers >= {wanted}")

    def pixels(self) -> np.ndarray:
        """(H, W, 3) int: what the canvas shows."""
        address = self.page.evaluate("document.getElementById('picture').toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as picture:
            return np.array(picture.convert("RGB")).astype(int)

    def hair(self) -> int:
        """How many pixels have exactly hair's colour."""
        return int((self.drawn() == HAIR).all(axis=2).sum())

    def drawn(self) -> np.ndarray:
        """The same after what was changed is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return self.pixels()


@pytest.fixture(scope="module")
def port() -> int:
    return int(live_page.free_port())


@pytest.fixture(scope="module")
def address(port: int) -> Iterator[str]:
    with live_page.server("--token", TOKEN, "--allow-host", NAME, port=port) as found:
        yield found


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    camera = live_page.clip(tmp_path_factory.mktemp("camera") / "camera.mjpeg")
    with live_page.browser(camera, f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as found:
        yield found


@pytest.fixture
def visit(chromium: Browser, address: str) -> Iterator[Callable[..., Visit]]:
    """Opens the page; `before` is called with it while it is blank."""
    contexts = []

    def go(
        at: str = f"/#token={TOKEN}",
        *,
        host: str = address,
        before: Callable[[Page], Any] | None = None,
        **options: Any,
    ) -> Visit:
        contexts.append(chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        found = Visit(page, host)
        page.on("console", lambda message: found.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: found.said.append(f"error: {error}"))
        page.on("request", lambda request: found.asked.append(request.url))
        page.on("websocket", lambda opened: found.asked.append(opened.url))
        if before is not None:
            before(page)
        page.goto(host + at)
        return found

    yield go
    for context in contexts:
        context.close()


def test_a_camera_is_parsed_and_a_class_switched_off(visit: Callable[..., Visit]) -> None:
    seen = visit()
    seen.click("Start the camera")
    seen.wait_for("Number(document.getElementById('rate').textContent) > 0")
    seen.wait_for("document.getElementById('picture').getAttribute('aria-label').includes('hair')")
    assert seen.hair() < 100
    seen.page.locator("#strength").fill("100")
    assert seen.hair() > 20_000
    seen.page.get_by_role("checkbox", name="hair").uncheck()
    assert seen.hair() < 100
    for name in ("trip", "total"):
        assert float(seen.page.locator(f"#{name}").inner_text()) > 0
    assert seen.page.locator("#model").inner_text().count("\n") >= 5
    assert seen.said == []
    assert {url.partition("//")[2].partition("/")[0] for url in seen.asked} == {seen.address.partition("//")[2]}
    assert not [url for url in seen.asked if TOKEN in url]
    assert "token" not in seen.page.url


def test_label_ids_survive_exactly(visit: Callable[..., Visit]) -> None:
    ids = np.random.default_rng(0).integers(0, 256, (37, 61), np.uint8)
    png = io.BytesIO()
    Image.fromarray(ids).save(png, "PNG")
    read = visit().page.evaluate(
        """async (text) => {
          const {decoded} = await import("/drawing.js");
          const png = new Blob([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], {type: "image/png"});
          const {width, height, pixels} = await decoded(png);
          return [width, height, Array.from(pixels, (pixel) => pixel & 255)];
        }""",
        base64.b64encode(png.getvalue()).decode(),
    )
    assert read == [61, 37, ids.ravel().tolist()]


def test_a_photo_is_parsed_blurred_recoloured_and_saved(visit: Callable[..., Visit], tmp_path: Path) -> None:
    seen = visit()
    seen.page.locator("#chosen").set_input_files(zoo.PORTRAIT)
    seen.wait_for_answers(1)
    seen.page.locator("#strength").fill("0")
    plain = seen.drawn()

    seen.page.get_by_text("Blur", exact=True).click()
    seen.page.locator("#strength").fill("100")
    seen.click("All")
    blurred = seen.drawn()
    detail = [np.abs(np.diff(one.sum(axis=2), axis=1)).mean() for one in (plain, blurred)]
    assert detail[1] < 0.3 * detail[0]

    seen.page.get_by_text("Recolour", exact=True).click()
    seen.page.locator("#dye").fill("#2030ff")
    seen.page.locator("#strength").fill("100")
    dyed = seen.drawn()
    hair = np.abs(dyed - plain).sum(axis=2) > 30
    assert 0.02 < hair.mean() < 0.6
    assert (dyed - plain)[hair][:, 2].mean() > (dyed - plain)[hair][:, 0].mean() + 20

    with seen.page.expect_download() as download:
        seen.click("Save picture")
    download.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as saved:
        assert np.abs(np.array(saved.convert("RGB")).astype(int) - dyed).max() == 0
    assert seen.said == []


def test_a_video_file_is_played_and_its_frames_parsed(visit: Callable[..., Visit], tmp_path: Path) -> None:
    with Image.open(zoo.PORTRAIT) as photo:
        frame = np.array(photo.convert("RGB").resize((256, 256)))
    writer = VideoWriter(tmp_path / "video.webm", fps=10)
    for _ in range(10):
        writer.write(frame)
    writer.close()
    seen = visit()
    seen.page.locator("#chosen").set_input_files(tmp_path / "video.webm")
    seen.wait_for_answers(3)
    assert seen.said == []


def test_the_sample_is_parsed(visit: Callable[..., Visit]) -> None:
    seen = visit()
    seen.click("Try a sample")
    seen.wait_for_answers(1)
    seen.wait_for("document.getElementById('picture').getAttribute('aria-label').includes('hair')")


def test_a_browser_without_newer_ways(visit: Callable[..., Visit]) -> None:
    older = "delete window.OffscreenCanvas; delete HTMLVideoElement.prototype.requestVideoFrameCallback;"
    seen = visit(before=lambda page: page.add_init_script(older))
    assert seen.page.evaluate("typeof OffscreenCanvas") == "undefined"
    seen.click("Start the camera")
    seen.wait_for_answers(2)
    assert seen.said == []


def test_every_control_is_reached_by_tab_and_space_pauses(visit: Callable[..., Visit]) -> None:
    seen = visit()
    seen.click("Start the camera")
    seen.wait_for_answers(3)
    keyboard = seen.page.keyboard
    before = seen.page.get_by_role("button", name="Pause")
    expect(before).to_have_attribute("aria-pressed", "false")
    seen.page.evaluate("document.activeElement.blur()")
    keyboard.press("Space")
    expect(before).to_have_attribute("aria-pressed", "true")
    answers = live_page.answers(seen.page)
    seen.page.wait_for_timeout(400)
    assert live_page.answers(seen.page) == answers

    name = "(one) => one.id || `${one.name}=${one.value}`"
    reached = []
    for _ in range(80):
        keyboard.press("Tab")
        if seen.page.evaluate("document.activeElement === document.body"):
            break
        reached.append(seen.page.evaluate(f"({name})(document.activeElement)"))
        assert seen.page.evaluate("document.activeElement.matches(':focus-visible')")
    controls = f"""[...document.querySelectorAll("button, select, input")]
      .filter((one) => one.offsetParent && !one.disabled && (one.type !== "radio" || one.checked)).map({name})"""
    assert reached == seen.page.evaluate(controls)
    assert len(reached) > 30
    assert "class=14" in reached
    keyboard.press("Space")
    seen.wait_for_answers(2)


def test_every_control_has_a_name(visit: Callable[..., Visit]) -> None:
    page = visit().page
    expect(page.locator("#status")).to_have_text("Connected")
    tree = page.locator("body").aria_snapshot()
    for line in ("button", "checkbox", "radio", "slider", "combobox", "textbox"):
        assert f"- {line}\n" not in tree + "\n"
        assert f"- {line}:" not in tree


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_lies_behind(visit: Callable[..., Visit], scheme: str) -> None:
    page = visit(color_scheme=scheme).page
    expect(page.locator("#status")).to_have_text("Connected")
    texts = page.evaluate(TEXTS)
    assert len(texts) > 50
    assert [(text, *colours) for text, *colours in texts if contrast(*colours) < 4.5] == []


def test_a_phone_has_no_horizontal_scroll(visit: Callable[..., Visit]) -> None:
    seen = visit(viewport={"width": 375, "height": 740}, reduced_motion="reduce")
    wide = "document.documentElement.scrollWidth"
    expect(seen.page.locator("#status")).to_have_text("Connected")
    assert seen.page.evaluate(wide) == 375
    seen.click("Start the camera")
    seen.wait_for_answers(2)
    assert seen.page.evaluate(wide) == 375
    stage, controls = (seen.page.locator(name).bounding_box() for name in ("#stage", "#classes"))
    assert stage is not None
    assert controls is not None
    assert stage["y"] + stage["height"] < controls["y"]


@pytest.mark.parametrize(
    ("error", "title", "cure"),
    [
        ("NotFoundError", "No camera found", "Connect one"),
        ("NotAllowedError", "The camera is not allowed", "choose Allow"),
        ("NotReadableError", "The camera is in use", "close that one"),
    ],
)
def test_a_camera_that_is_not_to_be_had_is_said_with_its_cure(
    visit: Callable[..., Visit], error: str, title: str, cure: str
) -> None:
    refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', '{error}'));"
    seen = visit(before=lambda page: page.add_init_script(refuse))
    seen.click("Start the camera")
    expect(seen.page.locator("#notice h2")).to_have_text(title)
    expect(seen.page.locator("#notice h2 + p")).to_contain_text(cure)
    expect(seen.page.get_by_role("status")).to_have_text(title)
    seen.page.locator("#chosen").set_input_files(zoo.PORTRAIT)
    seen.wait_for_answers(1)
    expect(seen.page.locator("#notice")).to_be_hidden()


def test_a_page_over_plain_http_says_why_it_has_no_camera(visit: Callable[..., Visit], port: int) -> None:
    seen = visit(host=f"http://{NAME}:{port}")
    assert not seen.page.evaluate("isSecureContext")
    seen.click("Start the camera")
    expect(seen.page.locator("#notice h2")).to_have_text("No camera over plain http")
    for cure in (f"http://localhost:{port}", f"ssh -L {port}:localhost:{port} {NAME}", "https"):
        expect(seen.page.locator("#notice h2 + p")).to_contain_text(cure)


def test_files_that_cannot_be_shown_are_said(visit: Callable[..., Visit], tmp_path: Path) -> None:
    seen = visit()
    for name, title in (("a.jpg", "This file cannot be shown"), ("a.mp4", "This video cannot be played")):
        (tmp_path / name).write_text("no picture")
        seen.page.locator("#chosen").set_input_files(tmp_path / name)
        expect(seen.page.locator("#notice h2")).to_have_text(title)


def test_a_busy_server_is_tried_again(visit: Callable[..., Visit]) -> None:
    opened = []

    def serve(socket: WebSocketRoute) -> None:
        opened.append(socket)
        if len(opened) == 1:
            socket.send(json.dumps({"type": "busy", "message": "full", "retry_after": 5}))
            socket.close(code=1013)
        else:
            socket.send(json.dumps(HELLO))

    seen = visit(before=lambda page: page.route_web_socket("**/v1/live", serve))
    expect(seen.page.locator("#notice h2")).to_have_text("The server is busy")
    expect(seen.page.locator("#wait")).to_have_text(re.compile(r"Next try in \d s"))
    expect(seen.page.locator("#status")).to_have_text("Connected")
    expect(seen.page.locator("#classes li")).to_have_count(2)
    assert len(opened) == 2


def test_a_picture_that_the_server_cannot_read_is_said(visit: Callable[..., Visit]) -> None:
    def serve(socket: WebSocketRoute) -> None:
        def refuse(message: str | bytes) -> None:
            assert isinstance(message, bytes)
            number = int.from_bytes(message[:4], "little")
            assert message[4:6] == b"\xff\xd8"
            socket.send(json.dumps({"type": "error", "frame": number, "message": "no such picture"}))

        socket.on_message(refuse)
        socket.send(json.dumps(HELLO))

    seen = visit(before=lambda page: page.route_web_socket("**/v1/live", serve))
    seen.click("Try a sample")
    expect(seen.page.locator("#notice h2 + p")).to_have_text("no such picture")


def test_a_token_is_asked_for_and_checked(visit: Callable[..., Visit]) -> None:
    seen = visit("/")
    title = seen.page.locator("#notice h2")
    expect(title).to_have_text("This server asks for a token")
    seen.page.get_by_label("Token").fill("not-the-token")
    seen.click("Connect")
    expect(title).to_have_text("This token is not the server's")
    seen.page.get_by_label("Token").fill(TOKEN)
    seen.page.keyboard.press("Enter")
    expect(seen.page.locator("#status")).to_have_text("Connected")


def test_a_server_that_goes_and_comes_back_is_found_again(visit: Callable[..., Visit]) -> None:
    with running() as server:
        seen = visit("/", host=server.url)
        seen.click("Start the camera")
        seen.wait_for_answers(2)
    expect(seen.page.locator("#notice h2")).to_have_text("The server does not answer")
    expect(seen.page.locator("#wait")).to_contain_text("Next try in")
    with live_page.server(port=int(server.url.rpartition(":")[2])):
        seen.wait_for_answers(2)
        expect(seen.page.locator("#notice")).to_be_hidden()
        expect(seen.page.locator("#status")).to_have_text("Connected")
