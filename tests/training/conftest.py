"""Small trainings that take seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RECIPE = """
[model]
size = 32
weights = "bundled"
terms = "for tests"

[data]
train = "{data}"
val = "{data}"
label_order = "celebamask-hq"
side = 64

[[stage]]
steps = {steps}
batch = 2
sizes = [32, 64]

[augment]
affine = 0.5
zoom_out = 0.2
colour = 0.5
noise = 0.3
jpeg = 0.3
erase = 0.3

[optimiser]
lr = 1e-3
clip = 1.0

[run]
ema = 0.9
log_every = 1
save_every = 2
{run}
"""


@pytest.fixture
def recipe_of(tmp_path: Path, labelled: Path) -> Callable[..., Path]:
    """Writes a recipe for `steps` steps on the labelled folder of two photos."""

    def write(steps: int = 4, run: str = "", text: str = RECIPE) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text.format(data=labelled, steps=steps, run=run))
        return path

    return write
