"""Labelling by Ray's actors: what dies is done again, and every photo has one row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pa = pytest.importorskip("pyarrow", reason="label needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray", reason="Ray is not installed")
psutil = pytest.importorskip("psutil", reason="workers are found with psutil")
pytestmark = pytest.mark.slow

MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import segface_edge.cli as c; c.main()"
RAY = ("--locate", "whole", "--ray", "local", "--workers", "2")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    found = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*.parquet")))
    return sorted(found.to_pylist(), key=lambda row: row["path"])


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAIN, "label", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    end = time.monotonic() + 120
    while not (found := what()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_a_worker_is_killed_and_the_run_is_stopped_and_started_again(
    cli: Callable[..., Any], make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    photos, whole, out = make_photos("photos", 60, bad=4), tmp_path / "whole", tmp_path / "out"
    assert cli("label", photos, "-o", whole, "--locate", "whole").code == 0
    process = start(photos, "-o", out, "--part-rows", 3, *RAY)

    def parts() -> int:
        return len(list(out.glob("part-*.parquet")))

    wait_for(lambda: parts() >= 2, process)
    started = psutil.Process(process.pid).children(recursive=True)
    workers = [one.pid for one in started if one.name().startswith("ray::MapWorker")]
    assert workers
    os.kill(workers[0], signal.SIGKILL)
    killed_at = parts()
    wait_for(lambda: parts() > killed_at, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in said
    kept = len(rows_of(out))
    assert 9 <= kept < 60
    process = start(photos, "-o", out, "--part-rows", 3, *RAY, "--json", "-")
    summary, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    document = json.loads(summary)
    assert (document["there_already"], document["labelled"]) == (kept, 60 - kept)
    assert rows_of(out) == rows_of(whole)
    assert sum(row["error"] is not None for row in rows_of(out)) == 4


# In a process of its own: its classes travel to the workers by value, and Ray leaves files and threads behind.
DEADLY = """
import os, sys, time
from pathlib import Path
from segface_edge.labelling import ray_pool
from segface_edge.labelling.photos import find
from segface_edge.labelling.places import Places
from segface_edge.labelling.run import label
from segface_edge.labelling.worker import Labeller, Options

photos, out, deaths = sys.argv[1:]

class Deadly(Labeller):
    def tables(self, photos, rows=16):
        photos = list(photos)
        if any(name.endswith("0003.jpg") for one in photos for name in one.names):
            Path(deaths, str(time.monotonic_ns())).touch()
            os._exit(1)
        return super().tables(photos, rows)

ray_pool.Labeller = Deadly
options, places = Options(locate="whole", look=1280, max_pixels=10**8), Places()
pool = ray_pool.Pool(address="local", workers=2)
done = label(find(photos, places), out, options, places, pool=pool)
print(done.labelled, done.failed)
"""


def test_a_photo_that_ends_its_worker_each_time_becomes_a_row(
    cli: Callable[..., Any], make_photos: Callable[..., Path], tmp_path: Path
) -> None:
    """Photos that were in work beside it have theirs."""
    photos, whole, out, deaths = (make_photos("photos", 12), *(tmp_path / name for name in ("whole", "out", "deaths")))
    deaths.mkdir()
    assert cli("label", photos, "-o", whole, "--locate", "whole").code == 0
    command = [sys.executable, "-c", DEADLY, *map(str, (photos, out, deaths))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "12 1"
    assert len(list(deaths.iterdir())) == 3
    for row, wanted in zip(rows_of(out), rows_of(whole), strict=True):
        if not row["path"].endswith("0003.jpg"):
            assert row == wanted
            continue
        assert row["error"].endswith("was in work each time when 3 workers died; parse it alone, with more memory")
        assert {name for name, value in row.items() if value is not None} == {"path", "model_sha256", "error"}


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "nonsense"])
def test_a_cluster_that_is_not_there_is_said_in_one_line(
    cli: Callable[..., Any], tmp_path: Path, make_photos: Callable[..., Path], address: str
) -> None:
    result = cli("label", make_photos("photos", 1), "-o", tmp_path / "out", "--ray", address)
    assert (result.code, result.out) == (1, "")
    assert result.err.splitlines()[-1].startswith(f"error: --ray {address}: cannot be reached")
    assert "Traceback" not in result.err
