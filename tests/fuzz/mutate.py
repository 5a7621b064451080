"""How inputs are changed: bytes, documents (what JSON holds), text of TOML."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random
from typing import Any

# Where formats keep lengths, counts and offsets.
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_WORDS = (
    "",
    "x",
    "0",
    "-1",
    "nan",
    "1e999",
    "٣",
    "²",
    "é",
    "\x00",
    "\x1b[31m",
    "\ud800",
    "😀",
    " ",
    "\n",
    "../..",
    "/dev/null",
    "None",
    "true",
    "a" * 300,
    "%s%n",
    "{}",
    "//",
    ":",
    "file:///etc",
    "--help",
    "fp16",
    "labels",
    "whole",
    "10.3.0",
    "8.7",
    "1.2.3.4.5",
    "00",
    "1_000",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    7,
    32,
    255,
    256,
    1024,
    2**31,
    2**63,
    2**64,
    10**30,
    -(10**30),
    0.5,
    -0.5,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
    [],
    {},
    [[]],
    [{}],
    {"": None},
    [None],
    [0] * 300,
    ["x"] * 20,
    [1, 2, 3],
    [0.1, 0.2, 0.3],
    ["background"],
    [True],
    {"a": {"b": {"c": []}}},
)


def changed_bytes(random: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Bytes with one to some changes; `others` lend pieces."""
    data = bytearray(content)
    for _ in range(1 + int(random.expovariate(0.7))):
        if not data:
            return bytes(data)
        at = random.randrange(len(data))
        # Headers are where it matters.
        if random.random() < 0.4:
            at = min(at, random.randrange(1, 129)) % len(data)
        what = random.randrange(10)
        if what < 3:
            data[at] ^= 1 << random.randrange(8)
        elif what == 3:
            data[at] = random.randrange(256)
        elif what == 4:
            del data[at:]
        elif what == 5:
            del data[at : at + random.randrange(1, 64)]
        elif what == 6:
            data[at:at] = random.randbytes(random.randrange(1, 32))
        elif what == 7:
            size = random.choice((1, 2, 4, 8))
            number = random.choice(_NUMBERS) & (256**size - 1)
            data[at : at + size] = number.to_bytes(size, random.choice(("little", "big")))
        elif what == 8:
            piece = data[at : at + random.randrange(1, 256)]
            to = random.randrange(len(data))
            data[to:to] = piece
        else:
            other = random.choice(others) if others else bytes(data)
            begin = random.randrange(len(other) + 1)
            data[at:] = other[begin:] if random.random() < 0.5 else other[begin : begin + len(data) - at]
    return bytes(data)


def value(random: Random) -> Any:
    """Anything that a document may hold."""
    if random.random() < 0.4:
        return random.choice(_WORDS)
    if random.random() < 0.1:
        return random.randint(-(2 ** random.randrange(1, 70)), 2 ** random.randrange(1, 70))
    return deepcopy(random.choice(_VALUES))


def changed_document(random: Random, document: Any) -> Any:
    """A document with one to some changes. What it is made of is used, not copied."""
    document = json.loads(json.dumps(document))
    for _ in range(1 + int(random.expovariate(1))):
        holders = list(_holders(document))
        if not holders:
            return value(random)
        holder = random.choice(holders)
        key = random.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        what = random.randrange(8)
        if what < 4:
            holder[key] = value(random)
        elif what == 4:
            del holder[key]
        elif what == 5:
            other = random.choice(holders)
            taken = random.choice(list(other.values()) if isinstance(other, dict) else other) if other else None
            holder[key] = json.loads(json.dumps(taken))
        elif what == 6:
            holder[key] = [holder[key]] if random.random() < 0.5 else {random.choice(_WORDS): holder[key]}
        elif isinstance(holder, dict):
            holder[random.choice(_WORDS)] = holder[key] if random.random() < 0.5 else value(random)
        else:
            holder.insert(key, value(random))
    return document if random.random() > 0.01 else value(random)


def _holders(document: Any) -> Any:
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict | list) and one:
            yield one
            waiting += one.values() if isinstance(one, dict) else one


def changed_json(random: Random, document: Any) -> str:
    """A document's text: changed as a document, sometimes as text, rarely nested beyond all measure."""
    chance = random.random()
    if chance < 0.003:
        depth = random.choice((300, 2000, 100_000))
        return random.choice(("[", '{"a":')) * depth
    if chance < 0.005:
        return json.dumps(document).replace("1", "1" * 5000, 1)
    text = json.dumps(changed_document(random, document) if chance < 0.85 else document)
    if chance > 0.75:
        text = changed_bytes(random, text.encode()).decode(errors="surrogateescape" if chance > 0.95 else "replace")
    return text


_TOML = (
    "1",
    "-1",
    "0",
    "1.5",
    "nan",
    "-inf",
    "1e400",
    "9" * 30,
    "9" * 5000,
    "true",
    '""',
    '"x"',
    "'../..'",
    "[]",
    "[[]]",
    "[1, 2]",
    '["x"]',
    "{}",
    "{a = 1}",
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    '"\\u0000"',
    '"\\uD800"',
    "0x7fffffffffffffffff",
    '"""\n"""',
    "[1, 'x', 2.5]",
    '"é"',
    "99999",
    "64",
    '"fp16"',
    "[" * 50,
    "[" * 5000,
)


def changed_toml(random: Random, text: str, keys: Sequence[str] = ()) -> str:
    """Text of TOML with other values, keys, lines; sometimes changed as bytes."""
    lines = text.splitlines()
    for _ in range(1 + int(random.expovariate(0.8))):
        if not lines:
            break
        at = random.randrange(len(lines))
        key, equals, _ = lines[at].partition("=")
        what = random.randrange(8)
        if what < 4 and equals:
            lines[at] = f"{key}= {random.choice(_TOML)}"
        elif what == 4:
            del lines[at]
        elif what == 5:
            lines.insert(random.randrange(len(lines)), lines[at])
        elif what == 6:
            name = random.choice(keys or _WORDS)
            lines.insert(at, f"{name} = {random.choice(_TOML)}")
        else:
            lines.insert(at, random.choice(("[a]", "[[a]]", "[data]", "[[stage]]", "[a.b.c]", "[[rows]]", "a.b = 1")))
    text = "\n".join(lines)
    if random.random() < 0.2:
        return changed_bytes(random, text.encode(errors="replace")).decode(errors="replace")
    return text


def one_of(random: Random, ways: Sequence[tuple[float, Callable[[], Any]]]) -> Any:
    """What one of the ways gives; each with its weight."""
    (way,) = random.choices([one for _, one in ways], [weight for weight, _ in ways])
    return way()
