"""checkpoint -> ONNX file -> a target's file, compared in the target's runtime before it is written."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from segface_edge import __version__
from segface_edge.engines.documents import document_beside
from segface_edge.engines.sidecar import Sidecar, fingerprint
from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.evaluation.parity import Parity
from segface_edge.export.config import ExportConfig
from segface_edge.export.finish import set_metadata
from segface_edge.export.pipeline import Export, default_path, run_export
from segface_edge.export.precision import Bar, no_bar
from segface_edge.files import check_place, sha256_of, whole_file
from segface_edge.spec import METADATA_KEY, PARITY_KEY, ModelSpec

from .apart import run_apart
from .gate import check
from .job import Job
from .table import DEFAULT, TARGETS, Target, check_installed, target


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A target's file.

    Attributes:
        path: where it is; `files` has those that belong to it, too.
        target: its row's name.
        spec: its contract.
        files: {path: bytes}.
        parity: of the ONNX file with PyTorch, of this file with the ONNX file.
        versions: of what converted it and what it was checked in.
        warnings: what the user should know, one line each.
    """

    path: Path
    target: str
    spec: ModelSpec
    files: dict[Path, int]
    parity: tuple[Parity, ...]
    versions: dict[str, str]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": str(self.path),
            "target": self.target,
            "files": {str(path): size for path, size in self.files.items()},
            "spec": asdict(self.spec),
            "parity": [report.to_dict() for report in self.parity],
            "versions": self.versions,
            "warnings": list(self.warnings),
        }

    def summary(self) -> list[str]:
        """Lines for people."""
        spec, versions = self.spec, ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return [
            *(report.summary() for report in self.parity),
            f"wrote {', '.join(map(str, self.files))} ({sum(self.files.values()) / 1e6:.1f} MB): {self.target} by "
            f"{versions}; {spec.precision}, {spec.size} x {spec.size}, batch {spec.batch or 'dynamic'}, "
            f"outputs {', '.join(spec.outputs)}",
            f"terms of use: {spec.terms}",
        ]


def export_target(
    config: ExportConfig,
    path: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
    bar: Bar = no_bar,
) -> Converted:
    """Exports, converts, compares in the target's runtime, and writes; nothing is written unless every check passes.

    Arguments and errors as for `run_export`, and besides:

    Raises:
        MissingDependencyError: a package that the target needs is not installed.
        IncompatibleEngineError: the conversion failed, or the file does not run.
    """
    row = target(config.target)
    check_installed(config.target)
    if path is not None:
        _check_places(path, row)
    asked = replace(config, target=DEFAULT)
    if config.precision in row.lowers:
        asked = replace(asked, precision="fp32", made_for="gpu", calib_data=None)
    with tempfile.TemporaryDirectory() as name:
        exported = run_export(asked, Path(name) / "deploy.onnx", progress=progress, bar=bar)
        return convert_file(exported, config, path, progress=progress)


def convert_file(
    exported: Export,
    config: ExportConfig,
    path: Path | None = None,
    *,
    answers: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Converted:
    """The same of what was exported before.

    Args:
        exported: by the same `config` but for the target, and the precision where the conversion makes that.
        config: what to make.
        path: where to; None: a name in the current folder.
        answers: a folder for what the ONNX file says of the faces: other targets of the same file need not ask again.
        progress: told the name of each step as it starts.
    """
    row = target(config.target)
    check_installed(config.target)
    # A conversion that lowers makes int8 of what CPUs multiply.
    made_for = "cpu" if config.precision == "int8" and "int8" in row.lowers else exported.spec.made_for
    spec = replace(exported.spec, precision=config.precision, made_for=made_for)
    path = path or _default_path(config, spec, row)
    _check_places(path, row)
    with tempfile.TemporaryDirectory() as name:
        progress(f"ONNX to {row.title}")
        out = Path(name) / f"{path.stem}{row.suffix}"
        job = Job(onnx=exported.path.resolve(), spec=spec, config=_elsewhere(config), out=out)
        versions = _convert(job, row, path)
        _describe(job, row, exported, (), versions)
        progress(f"comparing in {row.title}")
        reports = []
        for report, version in check(job.onnx, out, row, path, job.config.parity_data, answers):
            reports.append(report)
            versions = {report.candidate: version} | versions
        _describe(job, row, exported, tuple(reports), versions)
        progress("writing")
        files = _write(out, path, row)
    return Converted(
        path=path,
        target=config.target,
        spec=spec,
        files=files,
        parity=(*exported.parity, *reports),
        versions=versions,
        warnings=exported.warnings,
    )


def _elsewhere(config: ExportConfig) -> ExportConfig:
    """The same for a process in another folder."""

    def resolved(path: Path | None) -> Path | None:
        return path.resolve() if path and path.exists() else path  # `weights` may be a model's name

    return replace(
        config,
        weights=resolved(config.weights),
        parity_data=resolved(config.parity_data),
        calib_data=resolved(config.calib_data),
    )


def _default_path(config: ExportConfig, spec: ModelSpec, row: Target) -> Path:
    plain = default_path(config, spec.backbone, spec.size)
    # Two targets' files must not be called the same, nor what belongs to them.
    shared = row.suffix == ".onnx" or row.companions
    return plain.with_name(f"{plain.stem}{f'_{config.target}' if shared else ''}{row.suffix}")


def _check_places(path: Path, row: Target) -> None:
    if path.suffix.lower() != row.suffix:
        raise UsageError(path, f"is no name for {row.title}", f"name the output FILE{row.suffix}")
    for place in _all_files(path, row):
        check_place(place)
    for other in TARGETS.values():
        rival = path.with_suffix(other.suffix)
        for suffix in set(other.companions).intersection(row.companions) if rival != path and rival.is_file() else ():
            problem = f"would be written with {path.with_suffix(suffix).name}, which {rival.name} is read with"
            raise UsageError(path, problem, "choose another name")


def _all_files(path: Path, row: Target) -> list[Path]:
    """A target's files where the main one is `path`."""
    own = [path, *(path.with_suffix(suffix) for suffix in row.companions)]
    return own if row.suffix == ".onnx" else [*own, document_beside(path)]


def _convert(job: Job, row: Target, subject: Path) -> dict[str, str]:
    """Makes the file; versions of what made it."""
    if row.convert is None:
        shutil.copy(job.onnx, job.out)
        return {}
    versions: dict[str, str] = run_apart(
        row.convert,
        job,
        subject=subject,
        doing=f"the conversion to {row.title}",
        minutes=row.minutes,
        memory_gib=row.memory_gib,
    )
    for file in (job.out, *map(job.companion, row.companions)):
        if not file.is_file() or not file.stat().st_size:
            raise IncompatibleEngineError(
                subject, f"the conversion to {row.title} left no {file.suffix} file", "nothing was written; report it"
            )
    return versions


def _describe(job: Job, row: Target, exported: Export, reports: tuple[Parity, ...], versions: dict[str, str]) -> None:
    """Says in the file, or beside it, what it is."""
    parity = [report.to_dict() for report in (*exported.parity, *reports)]
    if row.suffix == ".onnx":
        model = onnx.load(job.out)
        kept = {entry.key: entry.value for entry in onnx.load(job.onnx).metadata_props}
        set_metadata(model, kept | {METADATA_KEY: job.spec.to_json(), PARITY_KEY: json.dumps(parity, sort_keys=True)})
        onnx.save(model, job.out)
        return
    sidecar = Sidecar(
        spec=job.spec,
        target=job.config.target,
        files={suffix: fingerprint(job.companion(suffix)) for suffix in (row.suffix, *row.companions)},
        onnx_sha256=sha256_of(job.onnx),
        versions=versions,
        parity=tuple(parity),
        segface_edge=__version__,
    )
    document_beside(job.out).write_text(sidecar.to_json(), encoding="utf-8")


def _write(out: Path, path: Path, row: Target) -> dict[Path, int]:
    """All files or none: each is on the disk before the first takes its place."""
    pairs = list(zip(_all_files(out, row), _all_files(path, row), strict=True))
    with ExitStack() as stack:
        for source, place in pairs:
            shutil.copyfile(source, stack.enter_context(whole_file(place)))
    return {place: place.stat().st_size for _, place in pairs}
