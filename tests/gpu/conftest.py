"""Tests that need an NVIDIA GPU: `make test-gpu` where there is one. Elsewhere each is skipped, with the reason."""

from __future__ import annotations

import pytest

from segface_edge.engines.nvidia.driver import read_driver


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test in this folder, and skips it where there is no GPU."""
    driver = read_driver()
    for item in items:
        if "tests/gpu/" not in item.nodeid:
            continue
        item.add_marker(pytest.mark.gpu)
        if driver is None or not driver.gpus:
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU here"))
