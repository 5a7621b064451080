"""Items made ahead: the same ones, in order, a few of them, and whatever ends them is heard of."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from segface_edge.sources.ahead import Ahead


def test_the_same_items_come_in_order() -> None:
    with Ahead(range(50), waiting=3) as items:
        assert list(items) == list(range(50))
        assert list(items) == []


def test_few_are_made_ahead() -> None:
    made = []

    def make() -> Iterator[int]:
        for index in range(100):
            made.append(index)
            yield index

    with Ahead(make(), waiting=3) as items:
        assert next(items) == 0
        time.sleep(0.2)
        # One was taken, three wait, and one is made and waits for its place.
        assert len(made) <= 5


def test_an_error_comes_after_what_was_made_before_it() -> None:
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    seen = []
    with Ahead(make(), waiting=5) as items, pytest.raises(ValueError, match="the third"):
        for item in items:
            seen.append(item)
    assert seen == [1, 2]
    assert list(items) == []


def test_the_newest_is_kept_where_nobody_waits() -> None:
    done = threading.Event()

    def make() -> Iterator[int]:
        yield from range(20)
        done.set()

    with Ahead(make(), waiting=1, newest=True) as items:
        assert done.wait(10)
        assert list(items) == [19]
        assert items.dropped == 19


def test_closing_ends_the_thread_and_what_it_has_open() -> None:
    closed = threading.Event()

    def make() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    before = threading.active_count()
    items = Ahead(make(), waiting=2)
    assert next(items) == 0
    items.close()
    assert closed.is_set()
    assert threading.active_count() == before
    assert list(items) == []


def test_a_pipeline_ends_when_its_first_stage_does() -> None:
    """Who waits for a stage that was closed gets no more."""

    def forever() -> Iterator[int]:
        while True:
            time.sleep(0.001)
            yield 0

    first = Ahead(forever(), waiting=1)
    second = Ahead((item + 1 for item in first), waiting=1)
    assert next(second) == 1
    first.close()
    assert set(second) <= {1}
    second.close()
