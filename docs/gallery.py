"""The pictures of docs/gallery.md: `python docs/gallery.py` makes them anew in docs/gallery/, `python docs/gallery.py
failures` one of them. Of two photos that are free: the bundled one, and one that matplotlib brings (see the page)."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import matplotlib as mpl  # noqa: TID253 - for its photo
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segface_edge import FaceParse, FaceParser, VideoWriter, zoo
from segface_edge.evaluation.corruptions import corrupt
from segface_edge.files import write_whole
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.pictures.reading import load
from segface_edge.plots.contact_sheet import contact_sheet
from segface_edge.training.occlusion.hand import draw_hand
from segface_edge.training.occlusion.mask import draw_mask

FOLDER = Path(__file__).with_name("gallery")
HOPPER = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
TILE, GAP, LINE = 236, 6, 22
PAPER, INK = (24, 24, 24), (235, 235, 235)
FRAMES = 12


def sheet(rows: Sequence[Sequence[tuple[str, UInt8Array]]], tile: int = TILE) -> Image.Image:
    """Pictures with a line above each; of a row all have one height, that of a tile."""
    font = ImageFont.load_default(14)
    drawn = []
    for row in rows:
        pictures = [Image.fromarray(picture) for _, picture in row]
        pictures = [
            one.resize((max(1, round(one.width * tile / one.height)), tile), Image.Resampling.LANCZOS)
            for one in pictures
        ]
        drawn.append(list(zip((caption for caption, _ in row), pictures, strict=True)))
    width = max(GAP + sum(picture.width + GAP for _, picture in row) for row in drawn)
    page = Image.new("RGB", (width, GAP + len(drawn) * (LINE + tile + GAP)), PAPER)
    draw, y = ImageDraw.Draw(page), GAP
    for row in drawn:
        x = GAP
        for caption, picture in row:
            draw.text((x, y + LINE // 2), caption, INK, font, anchor="lm")
            page.paste(picture, (x, y + LINE))
            x += picture.width + GAP
        y += LINE + tile + GAP
    return page


def on_squares(face: FaceParse, *classes: str) -> UInt8Array:
    """A cut-out before grey squares, as editors show what is transparent."""
    cut = face.cutout(*classes).astype(np.float32)
    y, x = np.indices(cut.shape[:2]) // 12
    back = np.where((x + y) % 2, 200.0, 160.0)[..., None]
    alpha = cut[..., 3:] / 255
    return np.asarray(alpha * cut[..., :3] + (1 - alpha) * back, np.uint8)


def outlined(face: FaceParse) -> UInt8Array:
    """The outlines of what a face is made of, in the classes' colours."""
    picture = face.image.copy()
    for name in face.present():
        colour = face.label_set.palette[face.label_set.index(name)].tolist()
        outlines = [np.rint(np.array(points)).astype(np.int32) for points in face.polygons(name)]
        cv2.polylines(picture, outlines, True, colour, 2, cv2.LINE_AA)
    return picture


def noisy(photo: UInt8Array, photons: float, random: np.random.Generator | None = None) -> UInt8Array:
    """A photo of little light: white is so many photons in each colour."""
    random = random or np.random.default_rng(0)
    return np.asarray(np.clip(random.poisson(photo * (photons / 255)) * (255 / photons), 0, 255), np.uint8)


def views() -> Image.Image:
    """Every view of a result."""
    rows = []
    with FaceParser() as parser:
        for photo, parts in ((load(zoo.PORTRAIT), ("hair",)), (load(HOPPER)[40:400, 85:445], ("hat", "glasses"))):
            face = parser(photo)
            rows.append([("photo", face.image), ("overlay", face.overlay()), ("color", face.color())])
            rows.append(
                [
                    (f"cutout, {' and '.join(parts)}", on_squares(face, *parts)),
                    ("overlay of eyes, brows and lips", face.only("eyes", "brows", "lips").overlay()),
                    ("polygons()", outlined(face)),
                ]
            )
    return sheet(rows)


def anywhere() -> Image.Image:
    """Faces of several sizes and turns in one photo."""
    canvas = np.full((800, 1080, 3), (96, 104, 112), np.uint8)

    def put(photo: UInt8Array, height: int, left: int, top: int, turn: int = 0) -> None:
        width = round(photo.shape[1] * height / photo.shape[0])
        small = np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))
        small = np.rot90(small, turn)
        canvas[top : top + small.shape[0], left : left + small.shape[1]] = small

    one, other = load(zoo.ASTRONAUT), load(HOPPER)
    put(one, 500, 20, 20)
    put(other, 420, 540, 20, turn=1)
    put(one, 250, 20, 535)
    put(other, 240, 290, 540, turn=2)
    put(one, 180, 520, 400)
    put(other, 130, 720, 400)
    put(one, 90, 860, 400, turn=3)
    put(other, 70, 980, 400)
    put(one, 46, 720, 560)
    with FaceParser() as parser:
        face = parser(canvas)
    picture = Image.fromarray(face.overlay())
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for box in face.faces:
        draw.rectangle((box.left, box.top, box.right, box.bottom), outline=(255, 255, 255), width=2)
        words = f"{box.right - box.left:.0f} px, turn {box.turn}" if box.turn else f"{box.right - box.left:.0f} px"
        draw.text((box.left, box.top - 4), words, (255, 255, 255), font, anchor="ls")
    return picture


def occluded() -> Image.Image:
    """What hides part of a face, drawn as trainings draw it."""
    photo = load(zoo.PORTRAIT)
    with FaceParser() as parser:
        clean = parser(photo)
        rows = []
        for draw, what, seeds in ((draw_hand, "a hand", (3, 8)), (draw_mask, "a mask", (1, 4))):
            row: list[tuple[str, UInt8Array]] = []
            for seed in seeds:
                drawn, _ = draw(photo, clean.labels, clean.label_set, np.random.default_rng(seed))
                row += [(what, drawn), ("overlay", parser(drawn).overlay())]
            rows.append(row)
    return sheet(rows)


def steady() -> Image.Image:
    """A still photo, filmed with noise: how often each pixel changes its label, as it comes and steady."""
    photo, random = load(zoo.PORTRAIT)[::2, ::2], np.random.default_rng(0)
    row: list[tuple[str, UInt8Array]] = []
    with TemporaryDirectory() as folder, FaceParser() as parser:
        film = Path(folder) / "film.avi"
        with closing(VideoWriter(film, fps=25)) as writer:
            for _ in range(FRAMES):
                writer.write(noisy(photo, 40, random))
        for smoothed in (False, True):
            faces = [streamed.face for streamed in parser.stream(film, steady=smoothed)]
            labels = np.stack([face.labels for face in faces])
            changes = (labels[1:] != labels[:-1]).mean(0)
            if not row:
                row += [("a frame", faces[-1].image), ("its overlay", faces[-1].overlay())]
            words = f"{'steady' if smoothed else 'as it comes'}: {100 * changes.mean():.2f} % change a frame"
            heat = cv2.applyColorMap(np.asarray(255 * np.sqrt(changes), np.uint8), cv2.COLORMAP_INFERNO)
            row.append((words, cv2.cvtColor(heat, cv2.COLOR_BGR2RGB)))
    return sheet([row])


def errors() -> Image.Image:
    """The contact sheet of an evaluation; what is seen in the clean photo stands for the truth."""
    rows, captions = [], []
    with FaceParser() as parser:
        for photo in (load(zoo.PORTRAIT), load(HOPPER)[40:400, 85:445]):
            clean = parser(photo)
            for name, strength in (("motion", 3), ("noise", 3)):
                worse, truth = corrupt(photo, clean.labels, clean.label_set, name, strength, photo="gallery")
                seen = parser(worse)
                rows.append((worse, truth, seen.labels))
                captions.append(f"{name} {strength}: {100 * np.mean(seen.labels != truth):.1f} % other labels")
    return Image.fromarray(contact_sheet(rows, clean.label_set, captions, tile=220))


def reflecting(photo: UInt8Array) -> UInt8Array:
    """Hopper's glasses with a window in each, as a flash or a bright room leaves one."""
    drawn = photo.copy()
    for left, top, right, bottom in ((190, 176, 240, 208), (283, 176, 334, 208)):
        slanted = np.array([[left, top + 6], [right - 8, top], [right, bottom - 8], [left + 6, bottom]], np.int32)
        cv2.fillConvexPoly(drawn, slanted, (250, 252, 255), cv2.LINE_AA)
    return drawn


def failures() -> Image.Image:
    """Where it goes wrong; the page says how."""
    one, other = load(zoo.ASTRONAUT), load(HOPPER)
    order = None
    rows = []
    with FaceParser() as parser:
        labels = {id(photo): parser(photo).labels for photo in (one, other)}
        order = parser.labels

        def worse(photo: UInt8Array, name: str, strength: int) -> UInt8Array:
            return corrupt(photo, labels[id(photo)], order, name, strength, photo="x.jpg")[0]

        small = np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.LANCZOS))
        slanted = cv2.getRotationMatrix2D((256, 256), 45, 1)
        cases = [
            ("out of focus", worse(other, "blur", 3)),
            ("moved", worse(other, "motion", 3)),
            ("reflecting glasses", reflecting(other)),
            ("covered", worse(one, "occlusion", 2)),
            ("11 pixels wide", small),
            ("32 pixels for all", worse(other, "low-resolution", 3)),
            ("noise, 3 photons are white", noisy(one, 3)),
            ("turned by 45 degrees", cv2.warpAffine(other[40:552], slanted, (512, 512), borderMode=cv2.BORDER_REFLECT)),
        ]
        for start in range(0, len(cases), 2):
            row: list[tuple[str, UInt8Array]] = []
            for what, picture in cases[start : start + 2]:
                face = parser(picture)
                found = {0: "no face found", 1: "1 face found"}.get(len(face.faces), f"{len(face.faces)} faces found")
                row += [(what, picture), (found, face.overlay())]
            rows.append(row)
    return sheet(rows)


def by_command(*arguments: object, option: str) -> Image.Image:
    """What a command of segface-edge draws: `option` names the file."""
    with TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.png"
        program = [sys.executable, "-c", "from segface_edge.cli import main; main()", *map(str, arguments)]
        subprocess.run([*program, option, str(drawn)], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        with Image.open(drawn) as picture:
            return picture.convert("RGB")


def sensitivity() -> Image.Image:
    """What each node costs in int8, of the bundled model."""
    calibrated = ("--precision", "int8", "--calib-data", zoo.PORTRAIT.parent)
    return by_command("quantize", zoo.DEFAULT_MODEL, *calibrated, "--sensitivity", "-o", "int8.onnx", option="--plot")


def layers() -> Image.Image:
    """Where the time of a run goes, block by block and layer by layer."""
    engine = f"{zoo.DEFAULT_MODEL}@threads=1"
    return by_command("bench", "--engine", engine, "--duration", 2, "--profile", option="--profile-plot")


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "views": views,
    "anywhere": anywhere,
    "occluded": occluded,
    "steady": steady,
    "errors": errors,
    "failures": failures,
    "sensitivity": sensitivity,
    "layers": layers,
}


def main(names: Sequence[str]) -> None:
    """Makes the pictures of those names, or all."""
    for name in names or PICTURES:
        picture, buffer = PICTURES[name](), io.BytesIO()
        picture.save(buffer, "jpeg", quality=88)
        write_whole(FOLDER / f"{name}.jpg", buffer.getvalue())


if __name__ == "__main__":
    main(sys.argv[1:])
