"""Places for requests and live pages: so many at a time, no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .answers import Refused


class Places:
    """So many of something at a time.

    Used by one thread, the event loop's.

    Args:
        most: how many.
        what: they are, for messages.
    """

    def __init__(self, most: int, what: str) -> None:
        self.most, self._what, self.taken = most, what, 0

    @property
    def full(self) -> bool:
        """Whether there is no place left."""
        return self.taken >= self.most

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place as long as it is entered. Raises Refused with 503 where there is none."""
        if self.full:
            raise Refused(503, f"busy: {self.most} {self._what} at a time; try again in a second", retry_after=1)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
