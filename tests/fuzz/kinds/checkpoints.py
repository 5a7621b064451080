"""Checkpoints: safetensors and pickles, read, recognised, made into a network where they fit."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors.torch import save

from segface_edge.network.checkpoint import read_checkpoint
from segface_edge.network.recognise import identified
from tests.fuzz.mutate import changed_bytes, changed_document, value

# What the metadata of ours say.
_SAYS = {"backbone": "mobilenet", "label_order": "segface", "trained_size": "512", "terms": "own", "warp": "roi-tanh"}
_HEADER = 8


def _state() -> dict[str, torch.Tensor]:
    return {
        "backbone.features.0.0.weight": torch.zeros(4, 3, 3, 3),
        "linear_fuse.weight": torch.zeros(2, 8, dtype=torch.float16),
        "decoder.mask_tokens.weight": torch.zeros(19, 8),
        "steps": torch.tensor(3),
    }


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        self.folder = folder
        self.make: Callable[[Random], tuple[str, bytes]] = getattr(self, f"_{argument}")
        self.whole = save(_state(), _SAYS)
        self.pickles: list[bytes] = []
        for content in (_state(), {"state_dict_backbone": _state()}, {"module.x": torch.ones(2)}):
            for zipped in (True, False):
                path = folder / "seed.pt"
                torch.save(content, path, _use_new_zipfile_serialization=zipped)
                self.pickles.append(path.read_bytes())

    def _safetensors(self, random: Random) -> tuple[str, bytes]:
        if random.random() < 0.3:
            return "x.safetensors", changed_bytes(random, self.whole)
        if random.random() < 0.3:
            says = {**_SAYS, random.choice(list(_SAYS)): str(value(random))}
            return "x.safetensors", save(
                _state(), {key: text.encode(errors="replace").decode() for key, text in says.items()}
            )
        (length,) = struct.unpack("<Q", self.whole[:_HEADER])
        document = changed_document(random, json.loads(self.whole[_HEADER : _HEADER + length]))
        head = json.dumps(document).encode()
        return "x.safetensors", struct.pack("<Q", len(head)) + head + self.whole[_HEADER + length :]

    def _pickles(self, random: Random) -> tuple[str, bytes]:
        name = random.choice(("x.pt", "x.pth", "x.bin"))
        if random.random() < 0.2:
            thing: Any = changed_document(random, {"state_dict_backbone": {"a": 1}, "epoch": [1, 2], "b": {"c": "d"}})
            content = pickle.dumps(thing, protocol=random.randrange(6))
            return name, content if random.random() < 0.5 else changed_bytes(random, content)
        return name, changed_bytes(random, random.choice(self.pickles), self.pickles)

    def run(self, given: tuple[str, bytes]) -> None:
        name, content = given
        path = self.folder / name
        path.write_bytes(content)
        identified(read_checkpoint(path), path)
