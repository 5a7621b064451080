"""The README's examples run as they stand, in a folder with a photo."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser
from segface_edge.labels import label_set
from segface_edge.pictures.reading import load
from segface_edge.sources.video_out import VideoWriter

README = Path(__file__).parent.parent.parent / "README.md"


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path, portrait: Path, parser: FaceParser) -> Path:
    """What the examples take for granted: photo.jpg, video.mp4, photos/, faces/ with images and labels."""
    video = VideoWriter(tmp_path / "video.mp4", fps=5)
    for _ in range(3):
        video.write(load(portrait))
    video.close()
    (tmp_path / "photo.jpg").write_bytes(portrait.read_bytes())
    for folder in ("photos", "faces/images"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "one.jpg").write_bytes(portrait.read_bytes())
    (tmp_path / "faces/labels").mkdir()
    labels = parser(portrait).remap("celebamask-hq").labels
    Image.fromarray(labels).save(tmp_path / "faces/labels/one.png")
    return tmp_path


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs lines as a user would, with this environment's commands first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("index", range(len(blocks("python"))))
def test_python_examples_run(workplace: Path, index: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", blocks("python")[index]], cwd=workplace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    if index == 0:
        assert "'hair'" in done.stdout
        with Image.open(workplace / "mask.png") as mask:
            assert mask.mode == "P"
            assert mask.size == (512, 512)
        assert load(workplace / "overlay.png").shape == (512, 512, 3)


@pytest.mark.slow
def test_command_line_examples_run_in_order(workplace: Path) -> None:
    pytest.importorskip("torch", reason="the export example needs torch")
    (script,) = blocks("console")
    assert len(script.splitlines()) >= 10
    done = bash(script, workplace)
    assert done.returncode == 0, done.stderr
    assert (workplace / "segface_mobilenet_384.onnx").is_file()
    with Image.open(workplace / "mask.png") as mask:
        assert set(np.unique(np.asarray(mask))) <= set(range(len(label_set("segface"))))
    assert (workplace / "out" / "one.png").is_file()
    assert len((workplace / "faces.jsonl").read_text().splitlines()) == 3


def test_the_model_s_figures_are_those_that_were_measured() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    metrics = json.loads((README.parent / "models" / "segface-efficientnet-lite0-s8-b1" / "metrics.json").read_text())[
        "paper"
    ]
    f1 = metrics["per_class_f1"]
    assert f"mean F1 {100 * metrics['mean_f1']:.1f} on {metrics['images']} held-out photos" in text
    rare = ("neck_l", "ear_r", "hat")
    assert "(necklaces {:.1f}, earrings {:.1f}, hats {:.1f})".format(*(100 * f1[name] for name in rare)) in text


def test_there_are_examples_of_both_kinds() -> None:
    assert len(blocks("python")) == 2
    assert len(blocks("console")) == 1


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
