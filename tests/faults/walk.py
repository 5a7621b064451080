"""Every write of every command goes wrong once: python tests/faults/walk.py. Exit code 1 where something was found.

First a run that counts the calls by which a command changes its folder; then, for each of them and each kind of fault,
one in which it goes wrong, and one that goes on. All of it in forks of this process, which `points.c` looks over.
"""

from __future__ import annotations

import argparse
import ctypes
import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.faults.scenarios import SCENARIOS, Scenario
from tests.faults.wholes import broken

# In the order of `points.c`.
PIPE = "pipe"
KINDS = ("full", "readonly", "kill", "interrupt", "terminate", "gone", PIPE)
_CODES = {
    "full": (1,),
    "readonly": (1,),
    "kill": (-signal.SIGKILL,),
    "interrupt": (130,),
    "terminate": (-signal.SIGTERM, 130),  # a training that has saved its state
    "gone": (1, 2),  # a training without a log any more
    PIPE: (0,),
}
_PATIENCE_S = 120.0
# Imported once, and not in every fork, where a scenario needs the package.
_ONCE = {
    "segface_edge.cli.parse": "",
    "segface_edge.parsing.parser": "",
    "segface_edge.engines.ort.engine": "",
    "segface_edge.sources.recorded": "",
    "segface_edge.bench.run": "",
    "segface_edge.evaluation.evaluate": "",
    "pyarrow.parquet": "pyarrow",
    "segface_edge.labelling.run": "pyarrow",
    "matplotlib.pyplot": "matplotlib",
    "segface_edge.plots.scores": "matplotlib",
    "torch": "torch",
    "onnx": "onnx",
    "segface_edge.export.pipeline": "onnx",
    "segface_edge.training.loop": "dacite",
}
_NEVER = 2**40
# Finds of a command.
_SHOWN = 20


@dataclass
class Ran:
    """What a run left: its exit code, negative for a signal, what it said, and the points that it passed."""

    code: int
    said: str
    points: list[str]


def shim(folder: Path) -> Path:
    """Compiles what looks over the calls. Raises CalledProcessError, FileNotFoundError."""
    library = folder / "points.so"
    source = Path(__file__).with_name("points.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def run(line: Sequence[str], scenario: Scenario, folder: Path, logs: Path, kind: str | None, place: int) -> Ran:
    """Runs a command in a fork; `kind` goes wrong at the call `place`."""
    said, points = logs / "said", logs / "points"
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = _child(line, scenario, folder, said, points, kind, place)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    until = time.monotonic() + _PATIENCE_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return Ran(-999, said.read_text(errors="replace"), [])
        time.sleep(0.005)
    return Ran(os.waitstatus_to_exitcode(status), said.read_text(errors="replace"), points.read_text().splitlines())


def _child(
    line: Sequence[str], scenario: Scenario, folder: Path, said: Path, points: Path, kind: str | None, place: int
) -> int:
    os.chdir(folder)
    faulthandler.dump_traceback_later(_PATIENCE_S - 2, exit=True)
    log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if kind == PIPE:  # as `| head` leaves it
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
    os.environ["SEGFACE_EDGE_CACHE"] = str(folder / "cache")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "temp")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if scenario.stub is not None:
        scenario.stub(folder)
    from segface_edge.cli import main

    library = ctypes.CDLL(os.environ["LD_PRELOAD"])
    counted = os.open(points, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    number = KINDS.index(kind) + 1 if kind in KINDS[:-1] else 0
    library.fault_arm(str(folder).encode(), number, ctypes.c_long(place), counted)
    code = 0
    try:
        main(list(line))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    library.fault_off()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def apart(do: Callable[[], list[str]], logs: Path) -> list[str]:
    """What a function gives, in a fork: threads that libraries started in this process would lack in later ones."""
    answer = logs / "answer"
    answer.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        try:
            answer.write_text(json.dumps(do()))
        except BaseException as error:
            answer.write_text(json.dumps([f"{type(error).__name__}: {error}"]))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    found: list[str] = json.loads(answer.read_text())
    return found


def walk(name: str, kinds: Sequence[str], every: int, base: Path) -> tuple[int, int, list[str]]:
    """Points of a scenario, runs that were made, and what was found."""
    scenario = SCENARIOS[name]
    fresh, logs = base / "fresh", base / "logs"
    for folder in (fresh, logs):
        folder.mkdir()
    if wrong := apart(lambda: scenario.inputs(fresh) or [], logs):
        return 0, 0, wrong
    (fresh / "temp").mkdir()
    work = base / "work"
    counted = _run_in(work, fresh, scenario.line, scenario, logs, None, _NEVER)
    if counted.code != 0:
        return 0, 1, [f"the command itself fails ({counted.code}): {counted.said[-1500:]}"]
    inputs = [path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()]
    done = {path.relative_to(work) for path in work.rglob("*") if path.is_file() and "part-" not in path.name}
    content = {work / path: (fresh / path).read_bytes() for path in inputs}

    def whole(*, was_killed: bool = False) -> list[str]:
        return apart(partial(broken, work, content, killed=False, was_killed=was_killed), logs)

    found = [f"without a fault: {problem}" for problem in whole()]
    runs = 1
    for number, kind in enumerate(kinds):
        # Of some points, each kind has others, from the first to the last; odd steps, which miss no place of `every`.
        first = number * (len(counted.points) // len(kinds) | 1) % min(every, len(counted.points))
        for place in [0] if kind == PIPE else range(first, len(counted.points), every):
            where = f"{kind} at {counted.points[place]}"
            ran = _run_in(work, fresh, scenario.line, scenario, logs, kind, place)
            problems = _problems(kind, ran)
            dead = kind in ("kill", "readonly")  # which can put nothing right any more
            problems += apart(partial(broken, work, content, killed=dead), logs)
            if ran.code == 0:
                problems += [
                    f"{path} is not there" for path in done if not (work / path).exists() and path.name != ".lock"
                ]
            again = run(
                scenario.again if _goes_on(scenario, work) else scenario.line, scenario, work, logs, None, _NEVER
            )
            if again.code != 0:
                problems.append(f"the next start ends with {again.code}: {again.said[-400:]}")
            problems += [f"after the next start: {problem}" for problem in whole(was_killed=dead)]
            problems += [f"after the next start, {path} is not there" for path in done if not (work / path).exists()]
            problems += apart(lambda: scenario.complete(work) or [], logs)
            found += [f"{where}: {problem}" for problem in problems]
            runs += 2
    return len(counted.points), runs, found


def _goes_on(scenario: Scenario, work: Path) -> bool:
    """Whether there is something to go on with."""
    return scenario.again is not None and ((work / "run" / "recipe.json").exists() or scenario.line[0] != "train")


def _run_in(
    work: Path, fresh: Path, line: Sequence[str], scenario: Scenario, logs: Path, kind: str | None, place: int
) -> Ran:
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(fresh, work)
    return run(line, scenario, work, logs, kind, place)


def _problems(kind: str, ran: Ran) -> list[str]:
    """What is wrong with how a run ended."""
    found = []
    # A fault may be of no matter: the command then does all that it should.
    if ran.code not in (*_CODES[kind], 0):
        found.append(f"exit code {ran.code}: {ran.said[-600:]}")
    for words in ("Traceback", "Exception ignored", "Error in atexit"):
        if words in ran.said:
            found.append(f"{words}: {ran.said[-1500:]}")
    errors = [line for line in ran.said.splitlines() if line.startswith(("error: ", "failed: "))]
    if ran.code == 1 and len(errors) != 1:
        found.append(f"{len(errors)} lines of errors: {ran.said[-600:]}")
    if kind == "kill" and ran.code == 0:
        found.append("was not killed")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--command", action="append", choices=SCENARIOS, help="only this one; may be given several times"
    )
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this fault; may be given several times")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th point, other ones for each kind")
    options = parser.parse_args()
    if "points.so" not in os.environ.get("LD_PRELOAD", ""):
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        try:
            environment = {**os.environ, "LD_PRELOAD": str(shim(folder)), "OMP_NUM_THREADS": "1"}
            return subprocess.run([sys.executable, *sys.argv], env=environment, check=False).returncode
        finally:
            shutil.rmtree(folder)
    names = [name for name in options.command or SCENARIOS if not SCENARIOS[name].missing()]
    needs = {"", *(need for name in names for need in SCENARIOS[name].needs)}
    for module in [module for module, package in _ONCE.items() if package in needs]:
        import_module(module)
    total = 0, 0, 0
    for name in options.command or SCENARIOS:
        missing = SCENARIOS[name].missing()
        if missing:
            print(f"{name:14} left out: {', '.join(missing)} not installed")
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as base:
            points, runs, found = walk(name, options.kind or KINDS, options.every, Path(base))
        took = time.monotonic() - begun
        print(f"{name:14} {points:4} write points, {runs:5} runs, {len(found):3} finds, {took:6.0f} s", flush=True)
        for problem in found[:_SHOWN]:
            print(f"    {problem}", flush=True)
        if len(found) > _SHOWN:
            print(f"    and {len(found) - _SHOWN} more", flush=True)
        total = total[0] + points, total[1] + runs, total[2] + len(found)
    print(f"{total[0]} write points, {total[1]} runs, {total[2]} finds")
    return 1 if total[2] else 0


if __name__ == "__main__":
    sys.exit(main())
