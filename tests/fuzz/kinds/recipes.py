"""TOML: recipes of exports and trainings, suites of benchmarks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz.child import ROOT
from tests.fuzz.mutate import changed_bytes, changed_json, changed_toml

_TRAINING = """
[data]
train = "faces"
val = ["faces"]
label_order = "segface"
unlabelled = "more"
[model]
backbone = "mobilenet"
weights = "bundled"
labels = "segface"
warp = false
[augment]
[sampling]
[loss]
dice = 1.0
class_weights = {hair = 2.0}
distillation = 0.5
[optimiser]
lr = 1e-4
milestones = [0.3, 0.6]
schedule = "cosine"
[teacher]
weights = "teacher.pt"
backbone = "mobilenet"
size = 64
[contrastive]
[run]
seed = 1
precision = "fp32"
ema = 0.9
[[stage]]
steps = 10
batch = 2
sizes = [64, 96]
[[stage]]
steps = 5
batch = 4
sizes = [64]
"""

_SUITE = """
version = 1
[scenario]
warmup_s = 1
duration_s = 2.5
min_queries = 10
[backbones]
mobilenet = [128, 256]
[[rows]]
backbones = ["mobilenet"]
graphs = ["deploy"]
precisions = ["fp32", "fp16"]
batches = [1, 4]
engines = ["onnxruntime"]
[[rows]]
threads = [1, 2]
"""


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        self.path, self.reads_runs = folder / "recipe.toml", argument == "runs"
        self.seeds, self.keys, self._read = getattr(self, f"_{argument}")()

    def make(self, random: Random) -> tuple[str, list[str]]:
        seed = random.choice(self.seeds)
        changes = [str(random.random())] if self.reads_runs else []
        while random.random() < 0.3:
            table, key = random.choice(("run", "loss", "optimiser", "data", "x", "stage")), random.choice(self.keys)
            line = changed_toml(random, f"{table}.{key}=1")
            changes.append(line)
        return changed_toml(random, seed, self.keys), changes

    def run(self, given: tuple[str, list[str]]) -> None:
        text, changes = given
        self.path.write_text(text, encoding="utf-8", errors="replace")
        self._read(self.path, changes)

    def _export(self) -> tuple[list[str], list[str], Callable[[Path, list[str]], object]]:
        from segface_edge.export.config import ExportConfig, read_recipe

        seeds = [path.read_text() for path in sorted((ROOT / "export").glob("*.toml")) if path.name != "suite.toml"]
        return seeds, list(ExportConfig.__dataclass_fields__), lambda path, _: read_recipe(path)

    def _training(self) -> tuple[list[str], list[str], Callable[[Path, list[str]], object]]:
        from segface_edge.training.recipe_file import parse_recipe, read_recipe, write_recipe

        def read(path: Path, changes: list[str]) -> None:
            recipe = read_recipe(path, changes)
            assert parse_recipe(write_recipe(recipe), source=path) == recipe

        keys = ["lr", "steps", "sizes", "batch", "seed", "train", "val", "weights", "dice", "share", "ema"]
        return [_TRAINING], keys, read

    def _runs(self) -> tuple[list[str], list[str], Callable[[Path, list[str]], object]]:
        """A run's folder; the text of the recipe is taken for what the folder has."""
        import torch

        from segface_edge.training.recipe_file import read_recipe
        from segface_edge.training.run_folder import RunFolder
        from segface_edge.training.run_log import RunLog

        self.path.write_text(_TRAINING)
        recipe = read_recipe(self.path)
        RunFolder(self.path.parent / "seed", recipe, resume=False)
        record = json.loads((self.path.parent / "seed" / "recipe.json").read_text())
        state = {name: {} for name in ("network", "ema", "optimiser", "scaler")}
        buffer = io.BytesIO()
        torch.save({**state, "ema_updates": 3, "done": 15, "best_step": None, "best_f1": None}, buffer)
        row = '{"step": 1, "loss": 0.5, "seconds": 1.0}'
        folder = self.path.parent / "run"
        folder.mkdir()

        def read(_: Path, changes: list[str]) -> None:
            random = Random(changes[0])
            log = [row if random.random() < 0.5 else changed_json(random, json.loads(row)) for _ in range(3)]
            whole = random.random() < 0.5
            (folder / "log.jsonl").write_text("\n".join(log), errors="surrogateescape")
            (folder / "recipe.json").write_text(changed_json(random, record), errors="surrogateescape")
            (folder / "state.pt").write_bytes(buffer.getvalue() if whole else changed_bytes(random, buffer.getvalue()))
            RunLog(folder / "log.jsonl", done=5, board=None)
            RunFolder(folder, recipe, resume=True).load(torch.device("cpu"))

        return [_TRAINING], ["seed"], read

    def _suite(self) -> tuple[list[str], list[str], Callable[[Path, list[str]], object]]:
        from segface_edge.bench.suite import read_suite

        released = ("mobilenet", "efficientnet-lite0-s8-b1")

        def read(path: Path, _: list[str]) -> None:
            for row in read_suite(path, released).rows:
                assert row.name

        keys = ["backbones", "graphs", "precisions", "batches", "threads", "engines", "warmup_s", "duration_s"]
        return [_SUITE], keys, read
