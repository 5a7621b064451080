"""Fuzzes the package: python tests/fuzz/run.py --seconds 600 --seed 1. Exit code 1 where something was found, 2 where
nothing can be tried.

Each input follows from the seed, its kind and its number: `--kind NAME --first NUMBER --inputs 1` runs it again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.hunt import Tally, hunt
from tests.fuzz.table import KINDS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help="for all kinds together, each an equal share")
    parser.add_argument("--inputs", type=int, help="of each kind; with --seconds: at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one; may be given several times")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # inputs hold what no terminal shows
    if options.seconds is None and options.inputs is None:
        parser.error("give --seconds or --inputs")
    names = options.kind or list(KINDS)
    share = None if options.seconds is None else options.seconds / len(names)
    tallies: dict[str, Tally] = {}
    for name in names:
        missing = KINDS[name].missing()
        if missing:
            print(f"{name:16} left out: {', '.join(missing)} not installed", flush=True)
            continue
        tally = tallies[name] = hunt(
            name,
            seed=options.seed,
            seconds=share,
            inputs=options.inputs,
            first=options.first,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        rate = tally.inputs / tally.seconds if tally.seconds else 0.0
        print(f"{name:16} {tally.inputs:9,} inputs {rate:9,.0f} a second  {len(tally.finds):3} finds", flush=True)
    if not tallies:
        print("error: every kind is left out: install what is missing, or name another --kind", file=sys.stderr)
        return 2
    for name, tally in tallies.items():
        for what, find in tally.finds.items():
            print(f"\n{name}, input {find.index} and {find.count - 1} more: {what}\n{find.detail.rstrip()}")
    inputs, finds = (sum(column) for column in zip(*((t.inputs, len(t.finds)) for t in tallies.values()), strict=True))
    print(f"\n{inputs:,} inputs of {len(tallies)} kinds, seed {options.seed}: {finds} finds")
    return 1 if finds else 0


if __name__ == "__main__":
    sys.exit(main())
