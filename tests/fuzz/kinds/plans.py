"""Plans and their documents, opened and run on the TensorRT of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from segface_edge.engines.nvidia.plan import sidecar
from segface_edge.engines.nvidia.run import TensorRTEngine
from tests.fuzz.mutate import changed_bytes, changed_json
from tests.nvidia.contracts import make
from tests.nvidia.world import World


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:  # noqa: ARG002
        self.world = World("10.3.0", "cuda-python-12").install(pytest.MonkeyPatch())
        _, self.plan, _ = make(folder)
        self.content, self.document = self.plan.read_bytes(), json.loads(sidecar(self.plan).read_text())

    def make(self, random: Random) -> tuple[bytes, str | None]:
        content = self.content
        chance = random.random()
        if chance < 0.3:
            content = changed_bytes(random, content)
        said: str | None = json.dumps(self.document)
        if chance < 0.1:
            said = None
        elif chance > 0.2:
            document: dict[str, Any] = self.document
            if chance > 0.9:  # as if it described these bytes
                content = changed_bytes(random, content)
                import hashlib

                document = {**document, "plan_sha256": hashlib.sha256(content).hexdigest(), "plan_bytes": len(content)}
                said = json.dumps(document)
            else:
                said = changed_json(random, document)
        return content, said

    def run(self, given: tuple[bytes, str | None]) -> None:
        content, said = given
        self.plan.write_bytes(content)
        beside = sidecar(self.plan)
        if said is None:
            beside.unlink(missing_ok=True)
        else:
            beside.write_bytes(said.encode(errors="surrogateescape"))
        try:
            with TensorRTEngine(self.plan) as engine:
                frames = np.zeros((max(1, engine.min_batch), engine.spec.size, engine.spec.size, 3), np.uint8)
                assert engine.infer(frames).labels.dtype == np.uint8
        finally:
            self.world.check()
