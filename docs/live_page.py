"""Pictures of the live page for docs/live.md: needs the extra `serve`, playwright, Chromium (apt-get install chromium).

    python docs/live_page.py

writes `docs/live.png` and, beside it, `live-dark.png`, `live-phone.png`, `live-busy.png` and `live-no-camera.png`. The
same of the page that needs no server, for docs/web.md, `web.png` and `web-phone.png`:

    python docs/live_page.py node_modules/onnxruntime-web

The tests of both pages, `benchmarks/live.py` and `benchmarks/web.py` start servers and browser as this does.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from math import cos, sin, tau
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, WebSocketRoute, sync_playwright

from segface_edge import zoo
from segface_edge.serving.web import write_page
from segface_edge.serving.web_runtime import find_runtime

FOLDER = Path(__file__).resolve().parent
DESKTOP, PHONE = {"width": 1280, "height": 1110}, {"width": 375, "height": 1500}
LOW = {"width": 1280, "height": 640}
COLOURS, EXACT = 256, 80
# Of the fake camera; what it sees of the photo.
SIZE, FRAMES, SCENE = (640, 480), 45, (80, 0, 360, 210)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def clip(path: Path) -> Path:
    """A camera's video: the bundled photo, moving a little. MJPEG is nothing but JPEGs, one after the other."""
    width, height = SIZE
    with Image.open(zoo.ASTRONAUT) as photo:
        scene = photo.convert("RGB").crop(SCENE).resize((width + 16, height + 16), Image.Resampling.LANCZOS)
    jpegs = io.BytesIO()
    for index in range(FRAMES):
        left, top = (round(8 + 8 * way(tau * index / FRAMES)) for way in (sin, cos))
        scene.crop((left, top, left + width, top + height)).save(jpegs, "JPEG", quality=90)
    path.write_bytes(jpegs.getvalue())
    return path


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def server(*options: object, port: int, seconds: float = 60) -> Iterator[str]:
    """`segface-edge serve` with the bundled model, until it is left. Gives its address."""
    program = "from segface_edge.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port", str(port), *map(str, options)]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        try:
            address, until = f"http://127.0.0.1:{port}", time.monotonic() + seconds
            while not _answers(f"{address}/readyz"):
                if process.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise RuntimeError(f"the server did not start: {said.read().decode(errors='replace')}")
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


class _Handler(SimpleHTTPRequestHandler):
    """Files; `isolated` with the headers that a page needs to have threads."""

    isolated = False

    def end_headers(self) -> None:
        if self.isolated:
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()

    def log_message(self, *_: object) -> None:
        pass


class _Isolated(_Handler):
    isolated = True


class _Server(ThreadingHTTPServer):
    """A browser that is closed leaves what it asked for: nothing to say of that."""

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def files(folder: Path, *, isolated: bool = False) -> Iterator[str]:
    """A server of a folder's files. Gives its address."""
    handler = partial(_Isolated if isolated else _Handler, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as started:
        threading.Thread(target=started.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{started.server_port}"
        started.shutdown()


# The engine of the page that needs no server, without the page: `run(square)`, `parse(pixels, width, height)` and
# `time(square, count)` of the window; bytes go in and come out in base64.
ENGINE = """async (asked) => {
  const {openEngines} = await import("/engine.js");
  const {parsed} = await import("/parsing.js");
  const page = await (await fetch("/page.json")).json();
  const engine = await openEngines(page, asked, async (name) => (await fetch(name)).arrayBuffer());
  const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  const text = (found) => {
    let all = "";
    for (let at = 0; at < found.length; at += 30000) all += String.fromCharCode(...found.subarray(at, at + 30000));
    return btoa(all);
  };
  window.run = async (square) => text(await engine.run(bytes(square)));
  window.parse = async ([pixels, width, height]) => {
    const {labels, faces, ms} = await parsed({width, height, pixels: bytes(pixels)}, engine, page.size);
    return {labels: text(labels), boxes: faces.map((face) => face.box), ms};
  };
  window.time = async ([square, count]) => {
    const [pixels, times] = [bytes(square), []];
    for (let run = 0; run < count; run++) {
      const start = performance.now();
      await engine.run(pixels);
      times.push(performance.now() - start);
    }
    return times;
  };
  return {device: engine.device, ...engine.told};
}"""


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


@contextmanager
def browser(camera: Path, *options: str) -> Iterator[Browser]:
    """Chromium without a window, whose camera shows `camera`, an MJPEG file."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        raise FileNotFoundError("no Chromium here: apt-get install chromium")
    fakes = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-proxy-server"]
    fakes.append(f"--use-file-for-fake-video-capture={camera}")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=[*fakes, *options])
        yield started
        started.close()


def answers(page: Page) -> int:
    """How many the page has had."""
    return int(page.locator("#rate").get_attribute("data-answers") or 0)


def wait_for(page: Page, condition: str, seconds: float = 20) -> None:
    """Until an expression is true in the page. Playwright's own way needs a page that lets `eval` run."""
    until = time.monotonic() + seconds
    while not page.evaluate(condition):
        if time.monotonic() > until:
            said = page.locator("body").inner_text()
            raise TimeoutError(f"not within {seconds:g} seconds: {condition}; the page says:\n{said}")
        page.wait_for_timeout(20)


def live(context: BrowserContext, address: str) -> Page:
    """The page with its camera, each picture with its own labels, after some answers."""
    page = context.new_page()
    page.goto(address)
    page.get_by_role("button", name="Start the camera").click()
    page.get_by_label("In step").check()
    wait_for(page, "document.getElementById('rate').dataset.answers >= 6", 120)
    return page


def busy(socket: WebSocketRoute) -> None:
    """A server that has no place."""
    socket.send(json.dumps({"type": "busy", "message": "4 pages are live", "retry_after": 5}))
    socket.close(code=1013)


def no_camera(page: Page) -> None:
    """Takes the page's camera away."""
    refuse = "() => Promise.reject(new DOMException('', 'NotFoundError'))"
    page.add_init_script(f"navigator.mediaDevices.getUserMedia = {refuse};")


def keep(page: Page, name: str) -> None:
    """A picture of the page as a small file: with the exact colours of its controls, and fewer for the photo."""
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    box = page.locator("#stage").bounding_box()
    assert box is not None
    stage = tuple(round(edge) for edge in (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]))
    photo = picture.crop(stage).quantize(COLOURS - EXACT, kmeans=3, dither=Image.Dither.NONE)
    around = picture.copy()
    around.paste((0, 0, 0), stage)
    often = Counter({colour: count for count, colour in around.getcolors(picture.width * picture.height)})
    palette = Image.new("P", (1, 1))
    exact = [value for colour, _ in often.most_common(EXACT) for value in colour]
    palette.putpalette(exact + photo.getpalette()[: 3 * (COLOURS - EXACT)])
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


def draw_web(runtime: Path) -> None:
    """Draws the page that needs no server."""
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        write_page(zoo.DEFAULT_MODEL, Path("page"), find_runtime(runtime))
        with browser(clip(Path("Camera.mjpeg"))) as chromium, files(Path("page"), isolated=True) as address:
            for name, size in (("web.png", DESKTOP), ("web-phone.png", PHONE)):
                with chromium.new_context(viewport=size) as context:
                    keep(live(context, address), name)
        os.chdir(FOLDER)


def main() -> None:
    """Draws all."""
    if len(sys.argv) > 1:
        draw_web(Path(sys.argv[1]).resolve())
        return
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # a fake camera is called as its file is
        with browser(clip(Path("Camera.mjpeg"))) as chromium, server(port=free_port()) as address:
            for name, scheme in (("live.png", "light"), ("live-dark.png", "dark")):
                with chromium.new_context(viewport=DESKTOP, color_scheme=scheme) as context:
                    page = live(context, address)
                    if scheme == "dark":
                        page.get_by_text("Recolour", exact=True).click()
                    keep(page, name)
            with chromium.new_context(viewport=PHONE) as context:
                keep(live(context, address), "live-phone.png")
            with chromium.new_context(viewport=LOW) as context:
                page = context.new_page()
                page.route_web_socket("**/v1/live", busy)
                page.goto(address)
                page.get_by_role("heading", name="The server is busy").wait_for()
                keep(page, "live-busy.png")
            with chromium.new_context(viewport=LOW) as context:
                page = context.new_page()
                no_camera(page)
                page.goto(address)
                page.get_by_role("button", name="Start the camera").click()
                page.get_by_role("heading", name="No camera found").wait_for()
                keep(page, "live-no-camera.png")
        os.chdir(FOLDER)


if __name__ == "__main__":
    main()
