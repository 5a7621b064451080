"""What there is to say of a picture that was taken all the same: on the log, once a picture."""

from __future__ import annotations

import logging
from functools import lru_cache

# Shown on standard error where a program sets up no logging of its own. Not `warnings`: its filters belong to the whole
# process, and pictures are read in several threads.
_LOG = logging.getLogger(__name__)


@lru_cache(maxsize=4096)
def remark(subject: str, text: str) -> None:
    """Logs a line about a file or folder; the same one again is left out (a training reads its photos many times)."""
    _LOG.warning("%s: %s", subject, text)
