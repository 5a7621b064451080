"""What an ONNX file says of itself, read without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segface_edge.spec import PARITY_KEY, PRECISION_KEY, ModelSpec

from .contract import check_contract, entry, spec_of
from .refusal import refused
from .session import VERSION, content_of, plain_session


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """What an ONNX file says of itself.

    Attributes:
        spec: its contract, which its inputs and outputs keep.
        parity: reports of its checks, as `Parity.to_dict` makes them.
        calibration_sha256: of the frames that int8 was calibrated on, or None.
    """

    spec: ModelSpec
    parity: list[Any]
    calibration_sha256: str | None


def read_metadata(path: Path) -> FileMetadata:
    """Reads it without running the file. Errors as of `OrtEngine` on the CPU."""
    content = content_of(path)
    try:
        session = plain_session(content)
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise refused(path, content, error, VERSION) from error
    spec = spec_of(session, str(path))
    check_contract(session, spec, str(path))
    parity, chosen = entry(session, PARITY_KEY), entry(session, PRECISION_KEY)
    sha256 = chosen.get("calibration_sha256") if isinstance(chosen, dict) else None
    return FileMetadata(
        spec=spec,
        parity=parity if isinstance(parity, list) else [],
        calibration_sha256=sha256 if isinstance(sha256, str) else None,
    )
