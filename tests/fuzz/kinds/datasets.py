"""Labelled data sets: their files' names, lists, points, photos and label maps."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from segface_edge.datasets.check import check
from segface_edge.datasets.opening import open_splits
from segface_edge.datasets.samples import read_labels
from segface_edge.errors import SegFaceEdgeError
from segface_edge.labels import LABEL_SETS
from segface_edge.pictures.landmarks import read_landmarks
from tests.fuzz.mutate import changed_bytes

from .pictures import portrait, saved

_ODD = (
    "._0.jpg",
    "0.JPG",
    "nothing",
    "00001_skin.png",
    "1_hair.png",
    "99999999999999999999_skin.png",
    "٣.jpg",
    "-1.jpg",
    "x_image.jpg",
    "x_label.png",
    " .png",
    "²_skin.png",
    "00000_.png",
    "é.txt",
    "dataset.toml",
    "landmarks.txt",
)


def _points(count: int) -> bytes:
    return b"%d\n" % count + b"".join(b"%.1f %.1f\n" % (index % 10 + 4, index // 10 + 4) for index in range(count))


def trees() -> list[dict[str, bytes]]:
    """{file: content} of a small set of each layout."""
    photo, other = saved(portrait((32, 32)), "JPEG"), saved(portrait((32, 32)).rotate(9), "JPEG")
    ids = np.zeros((32, 32), np.uint8)
    ids[8:20, 8:20] = 1
    labels, mask = saved(Image.fromarray(ids), "PNG"), saved(Image.fromarray(ids * 255), "PNG")
    line = " ".join(["10.5"] * 70 + ["20.5"] * 66)
    return [
        {
            "images/0.jpg": photo,
            "images/1.jpg": other,
            "labels/0.png": labels,
            "labels/1.png": labels,
            "dataset.toml": b'label_order = "segface"\n',
        },
        {
            "train/images/0.jpg": photo,
            "train/labels/0.png": labels,
            "val/images/1.jpg": other,
            "val/labels/1.png": labels,
            "train/dataset.toml": b'label_order = "lapa"\n',
            "dataset.toml": b'label_order = "lapa"\n',
        },
        {
            "train/images/0.jpg": photo,
            "train/labels/0.png": labels,
            "train/landmarks/0.txt": _points(106),
            "test/images/1.jpg": other,
            "test/labels/1.png": labels,
            "test/landmarks/1.txt": _points(106),
        },
        {
            "train/0_image.jpg": photo,
            "train/0_label.png": labels,
            "test/1_image.jpg": other,
            "test/1_label.png": labels,
            "landmarks.txt": f"{line} 0\n{line} 1_image.jpg\n".encode(),
        },
        {
            "CelebA-HQ-img/0.jpg": photo,
            "CelebA-HQ-img/1.jpg": other,
            "CelebAMask-HQ-mask-anno/0/00000_skin.png": mask,
            "CelebAMask-HQ-mask-anno/0/00000_hair.png": mask,
            "CelebAMask-HQ-mask-anno/0/00001_skin.png": mask,
            "CelebA-HQ-to-CelebA-mapping.txt": b"idx orig_idx orig_file\n0 5 000005.jpg\n1 6 000006.jpg\n",
            "list_eval_partition.txt": b"000005.jpg 0\n000006.jpg 1\n",
        },
    ]


def _text(random: Random, content: bytes) -> bytes:
    """Words and lines in another order, with others among them."""
    lines = content.split(b"\n")
    for _ in range(1 + int(random.expovariate(1))):
        at = random.randrange(len(lines))
        words = lines[at].split() or [b""]
        word = random.choice(
            (b"", b"nan", b"-1", b"1e999", b"9" * 30, "٣".encode(), b"\xff", b"0", b"2", b"x/../y", b"9" * 5000)
        )
        words[random.randrange(len(words))] = word
        lines[at] = b" ".join(words)
        if random.random() < 0.2:
            lines.insert(at, random.choice(lines))
        if random.random() < 0.1:
            del lines[at:]
            lines.append(b"")
    return b"\n".join(lines)


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        self.root = folder / "set"
        self.trees = trees()
        self.maps = [tree[name] for tree in self.trees for name in tree if name.endswith(".png")]
        self.maps += [saved(portrait((20, 20), mode), "PNG") for mode in ("P", "L", "1", "I;16", "RGB", "RGBA")]
        self.make: Callable[[Random], Any] = self._file if argument else self._tree
        self.run: Callable[[Any], None] = self._run_file if argument else self._run_tree

    def _tree(self, random: Random) -> dict[str, bytes]:
        tree = dict(random.choice(self.trees))
        for _ in range(1 + int(random.expovariate(1))):
            name = random.choice(list(tree))
            what = random.randrange(8)
            content = tree[name]
            if what < 4:
                is_text = name.endswith((".txt", ".toml"))
                tree[name] = _text(random, content) if is_text else changed_bytes(random, content)
            elif what == 4:
                del tree[name]
            elif what == 5:
                tree[f"{name.rpartition('/')[0]}/{random.choice(_ODD)}".lstrip("/")] = content
            elif what == 6:
                other = random.choice(list(tree))
                tree[name], tree[other] = tree[other], content
            else:
                tree[name] = b""
            if not tree:
                break
        return tree

    def _run_tree(self, tree: dict[str, bytes]) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        for name, content in tree.items():
            path = self.root / name
            if any(parent.is_file() for parent in path.parents):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.is_dir():
                path.write_bytes(content)
        with suppress(SegFaceEdgeError):
            open_splits(self.root)
        report = check(open_splits(self.root, strict=False, order=LABEL_SETS["segface"]))
        for finding in report.findings:
            assert finding.problem.isprintable(), finding.problem
            assert finding.cure

    def _file(self, random: Random) -> tuple[str, bytes]:
        if random.random() < 0.5:
            content = random.choice([self.trees[2]["train/landmarks/0.txt"], b"1 2\n3 4\n5 6\n7 8\n9 10\n"])
            content = _text(random, content) if random.random() < 0.7 else changed_bytes(random, content)
            return "points.txt", content
        return "labels.png", changed_bytes(random, random.choice(self.maps), self.maps)

    def _run_file(self, given: tuple[str, bytes]) -> None:
        name, content = given
        path = self.root.with_name(name)
        path.write_bytes(content)
        if name.endswith(".txt"):
            assert len(read_landmarks(path)) == 5
        else:
            assert read_labels(path, LABEL_SETS["segface"]).max() in (*range(19), 255)
