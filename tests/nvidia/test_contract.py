"""The TensorRT path on all versions of its API with all CUDA bindings, without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from .contracts import CONTRACTS
from .world import BINDINGS, VERSIONS, World


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("version", VERSIONS)
def test_contract(version: str, binding: str, contract: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(version, binding).install(monkeypatch)
    CONTRACTS[contract](world, tmp_path)
    world.check()
