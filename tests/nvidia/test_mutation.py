"""The contracts notice every name of TensorRT that the product uses: each is taken away in turn."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from .contracts import CONTRACTS
from .world import BINDINGS, VERSIONS, World


# The oldest and the newest version; those between have the same contracts, which run in all of them.
@pytest.mark.slow
@pytest.mark.parametrize(("version", "binding"), [(VERSIONS[0], BINDINGS[0]), (VERSIONS[-1], BINDINGS[-1])])
def test_every_name_that_is_used_is_missed(version: str, binding: str, tmp_path: Path) -> None:
    used: dict[str, list[str]] = {}
    for contract in CONTRACTS:
        world, problem = run(World(version, binding), contract, tmp_path / contract)
        assert problem is None, f"{contract}: {problem!r}"
        for name in world.fake.used:
            used.setdefault(name, []).append(contract)
    # What a build and a run cannot do without is among them: the list is not empty for want of listening.
    assert {"Builder.build_serialized_network", "IExecutionContext.execute_async_v3", "OnnxParser.parse"} <= set(used)
    unnoticed = []
    for name in sorted(used):
        # None but those that use it can miss it.
        if not any(
            run(World(version, binding, without=name), one, tmp_path / f"{name}-{one}")[1] for one in used[name]
        ):
            unnoticed.append(name)
    assert unnoticed == []


def run(world: World, contract: str, folder: Path) -> tuple[World, BaseException | None]:
    """Runs one contract in a world of its own; what it raises."""
    folder.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        world.install(patch)
        try:
            CONTRACTS[contract](world, folder)
            world.check()
        except (KeyboardInterrupt, Exception, pytest.fail.Exception) as error:
            gc.collect()
            return world, error
    return world, None
