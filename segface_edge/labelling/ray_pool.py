"""Photos labelled by a pool of Ray Data's actors, each with one engine."""

from __future__ import annotations

import json
import logging
import os
import socket
import tempfile
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from segface_edge import __version__
from segface_edge.engines.base import cores
from segface_edge.errors import ImageError, IncompatibleEngineError, InputError, SegFaceEdgeError
from segface_edge.memory import keep_small

from .photos import Photos, split
from .places import Places, first_line
from .worker import Labeller, Options

LOCAL = "local"
# Photos of a task: what a lost worker does again, and few enough that the last tasks end together.
_FEWEST, _MOST, _TASKS_EACH = 2, 32, 16
_PATIENCE_S = 10.0
# More tasks than this are a burden to Ray: their photos are more then.
_MOST_TASKS = 50_000
# A photo that was in work when so many workers died is given up.
_DEATHS = 3


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Ray's actors.

    Attributes:
        address: of a cluster, as `ray.init` takes it; `local` starts Ray on this machine and stops it again.
        workers: so many actors; None: as many as the cluster has room for.
        num_cpus: cores of each, and threads of its engine.
        num_gpus: GPUs of each, or a share of one.
    """

    address: str
    workers: int | None = None
    num_cpus: int = 1
    num_gpus: float = 0.0

    def __call__(
        self, photos: list[Photos], options: Options, what: dict[str, Any], places: Places
    ) -> Generator[pa.Table, None, None]:
        """Tables of rows, in any order. A worker that is lost is started again, and its task given to another; a photo
        that was in work when three were lost is a row with an error.

        Raises:
            InputError: there is no such cluster, or it breaks off.
            IncompatibleEngineError: a worker has another version, or other files at the same paths.
            SegFaceEdgeError: what a worker raises.
        """
        self._start()
        try:
            yield from self._tables(photos, options, what, places)
        except RayError as error:
            raise _told(error) or self._broken(error) from error
        finally:
            ray.shutdown()

    def _start(self) -> None:
        # Nothing is reported to anybody, unless the user asks for it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
        try:
            if self.address == LOCAL:
                wanted = (self.workers or 0) * self.num_cpus
                ray.init(num_cpus=max(wanted, self.num_cpus, cores() or 1), include_dashboard=False, **quiet)
            else:
                host, _, port = self.address.rpartition(":")
                if host and port.isdecimal() and "/" not in host:
                    # Ray itself tries for minutes.
                    socket.create_connection((host, int(port)), timeout=_PATIENCE_S).close()
                ray.init(address=self.address, **quiet)
        except (RayError, OSError, OverflowError, RuntimeError, ValueError) as error:
            cure = "give the address of a cluster that runs, or --ray local"
            raise InputError(f"--ray {self.address}", f"cannot be reached ({first_line(error)})", cure) from error

    def _tables(
        self, photos: list[Photos], options: Options, what: dict[str, Any], places: Places
    ) -> Generator[pa.Table, None, None]:
        workers = self.workers or self._room()
        count = sum(map(len, photos))
        size = max(_FEWEST, min(_MOST, count // (_TASKS_EACH * workers)), count // _MOST_TASKS)
        tasks = [{"photos": json.dumps(asdict(one))} for one in split(photos, size)]
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False  # there is one of ours
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it raises is said by who catches it
        threads = self.num_cpus if options.device == "cpu" else None
        # A worker's current folder is another.
        files = {name: path.absolute() for name in ("model", "detector", "spec") if (path := getattr(options, name))}
        # With this process, and not with a worker's machine, ends what is known of workers that died.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        ledger = f"segface-edge-{uuid4()}"
        kept = ray.remote(_Begun).options(name=ledger, num_cpus=0, scheduling_strategy=here).remote()
        data = ray.data.from_items(tasks, override_num_blocks=len(tasks)).map_batches(
            _actor(replace(options, threads=threads, **files), what, places, ledger),
            batch_size=None,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(tasks))),
            num_cpus=self.num_cpus,
            num_gpus=self.num_gpus or None,
        )
        yield from data.iter_batches(batch_size=None, batch_format="pyarrow")
        del kept  # as long as it is held, it is there

    def _room(self) -> int:
        """How many actors the cluster has room for."""
        there = ray.cluster_resources()
        room = int(there.get("CPU", 0) // self.num_cpus)
        if self.num_gpus:
            room = min(room, int(there.get("GPU", 0) / self.num_gpus))
        if room < 1:
            wanted = f"{self.num_cpus} cores and {self.num_gpus:g} GPUs"
            has = f"{there.get('CPU', 0):g} and {there.get('GPU', 0):g}"
            raise InputError(f"--ray {self.address}", f"has no room for a worker of {wanted} ({has})", "ask for less")
        return room

    def _broken(self, error: RayError) -> InputError:
        cure = f"see Ray's log ({tempfile.gettempdir()}/ray); the same command goes on where this one stopped"
        return InputError(f"--ray {self.address}", f"broke off ({first_line(error)})", cure)


class _Begun:
    """What was begun and never ended, how often: its worker died each time. An actor, beside who started the run."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def begin(self, name: str) -> int:
        """How often it was begun before."""
        self._times[name] += 1
        return self._times[name] - 1

    def end(self, name: str) -> None:
        """It is done."""
        del self._times[name]


def _actor(options: Options, what: dict[str, Any], places: Places, ledger: str) -> type:
    """The class of an actor. What it knows travels with the class: arguments of its constructor would lie in Ray's
    store, and be lost with the machine that they lie on."""

    class LabellingActor:
        def __init__(self) -> None:
            keep_small()
            self.labeller: Labeller | None = None
            self.begun = ray.get_actor(ledger)

        def __call__(self, task: pa.Table) -> pa.Table:
            # Not when it is made: what goes wrong there reaches nobody as an error of ours.
            if self.labeller is None:
                if (here := _version()) != __version__:
                    cure = "install the same on every machine"
                    raise IncompatibleEngineError("segface-edge", f"is {here} on a worker, {__version__} here", cure)
                self.labeller = Labeller(options, places, what)
            name = task.column("photos")[0].as_py()
            document = json.loads(name)
            photos = Photos(
                names=tuple(document["names"]),
                table=document["table"],
                group=document["group"],
                rows=tuple(document["rows"]),
            )
            died = ray.get(self.begun.begin.remote(name))
            made = self.labelled(photos) if not died else [self.alone(one) for one in split([photos], 1)]
            self.begun.end.remote(name)
            return pa.concat_tables(made)

        def labelled(self, photos: Photos) -> list[pa.Table]:
            assert self.labeller is not None
            with closing(self.labeller.tables([photos])) as tables:
                return list(tables)

        def alone(self, photo: Photos) -> pa.Table:
            """The row of one, of a task whose worker died: which of them it was will be seen."""
            assert self.labeller is not None
            (name,) = photo.names
            # The first death was of all that were in work; of the others, those when it was in work alone.
            if (times := 1 + ray.get(self.begun.begin.remote(f"photo {name}"))) >= _DEATHS:
                problem = f"was in work each time when {times} workers died"
                return self.labeller.given_up(name, ImageError(name, problem, "parse it alone, with more memory"))
            (row,) = self.labelled(photo)
            self.begun.end.remote(f"photo {name}")
            return row

    return LabellingActor


def _version() -> str:
    """That of the package where this runs."""
    return __version__


def _told(error: BaseException | None) -> SegFaceEdgeError | None:
    """The error of ours that a worker raised, if it was one."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        cause = getattr(error, "cause", None)  # Ray's errors are of their cause's class too, with its traceback as text
        if cause is None and isinstance(error, SegFaceEdgeError):
            return error
        error = cause or error.__cause__ or error.__context__
    return None
