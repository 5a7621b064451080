"""What an ExecuTorch program calls, read from its file: a flatbuffer, of which a few tables are looked at.

Numbers are those of the fields in ExecuTorch's `program.fbs`, which only ever grows at its tables' ends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import flatbuffers
from flatbuffers.number_types import Int32Flags, Uint8Flags, UOffsetTFlags
from flatbuffers.table import Table

_PLANS = 1  # of a program
_CHAINS, _OPERATORS, _DELEGATES = 5, 6, 7  # of a plan
_INSTRUCTIONS = 2  # of a chain
_KIND, _CALL = 0, 1  # of an instruction
_KERNEL, _DELEGATE = 1, 2  # kinds
_INDEX = 0  # of a call: which operator or delegate
_NAME, _OVERLOAD = 0, 1  # of an operator; a delegate's name, too


def count_calls(content: bytes) -> dict[str, object]:
    """The delegates that a program's first method calls and how often, and the kernels that it calls besides.

    Args:
        content: of a .pte file that ExecuTorch has opened.

    Returns:
        `delegate` (names, joined; None where there is none), `parts` (calls of delegates), `not_delegated` ({operator:
        calls}).
    """
    program = Table(content, flatbuffers.encode.Get(flatbuffers.packer.uoffset, content, 0))
    plan = next(_tables(program, _PLANS))
    operators = [_called(operator) for operator in _tables(plan, _OPERATORS)]
    delegates = [_text(delegate, _NAME) for delegate in _tables(plan, _DELEGATES)]
    kernels: Counter[str] = Counter()
    parts: Counter[str] = Counter()
    for chain in _tables(plan, _CHAINS):
        for instruction in _tables(chain, _INSTRUCTIONS):
            kind = _number(instruction, _KIND, Uint8Flags)
            if kind not in (_KERNEL, _DELEGATE):
                continue
            index = _number(_table(instruction, _CALL), _INDEX, Int32Flags)
            if kind == _KERNEL:
                kernels[operators[index]] += 1
            else:
                parts[delegates[index]] += 1
    return {
        "delegate": ", ".join(sorted(parts)) or None,
        "parts": sum(parts.values()),
        "not_delegated": dict(sorted(kernels.items())),
    }


def _called(operator: Table) -> str:
    return _text(operator, _NAME).partition("::")[2] or _text(operator, _NAME)


def _offset(table: Table, field: int) -> int:
    return int(table.Offset(4 + 2 * field))


def _number(table: Table, field: int, kind: Any) -> int:
    offset = _offset(table, field)
    return int(table.Get(kind, table.Pos + offset)) if offset else 0


def _text(table: Table, field: int) -> str:
    offset = _offset(table, field)
    return bytes(table.String(table.Pos + offset)).decode(errors="replace") if offset else ""


def _table(table: Table, field: int) -> Table:
    return Table(table.Bytes, table.Indirect(table.Pos + _offset(table, field)))


def _tables(table: Table, field: int) -> Iterator[Table]:
    offset = _offset(table, field)
    if not offset:
        return
    start = table.Vector(offset)
    for place in range(table.VectorLen(offset)):
        entry = start + place * UOffsetTFlags.bytewidth
        yield Table(table.Bytes, table.Indirect(entry))
