"""Every target whose packages are here: the released models' files give ONNX Runtime's labels on real faces."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="export needs onnx")
pytest.importorskip("torch", reason="export needs torch")

from segface_edge import zoo
from segface_edge.errors import MissingDependencyError
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import Export, run_export
from segface_edge.export.targets.run import convert_file
from segface_edge.export.targets.table import DEFAULT, TARGETS, check_installed

FACES = 20
# Targets that run a network of stride 4 in a second a photo, and not in ten.
QUICK = ("portable", "openvino", "litert")


@pytest.fixture(scope="module")
def faces(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 20 photos of a labelled set."""
    photos = sorted((shared / "data" / "celebamask-hq-mini" / "val" / "images").glob("*"))[:FACES]
    if len(photos) < FACES:
        pytest.skip("real faces are not here")
    folder = tmp_path_factory.mktemp("faces")
    for photo in photos:
        (folder / photo.name).symlink_to(photo.resolve())
    return folder


@pytest.fixture(scope="module", params=sorted(zoo.RELEASED))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A released model at its own size."""
    return run_export(ExportConfig(backbone=request.param), tmp_path_factory.mktemp("exported") / "deploy.onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TARGETS if name != DEFAULT])
def test_a_released_models_file_gives_onnx_runtimes_labels(
    name: str, exported: Export, faces: Path, tmp_path: Path
) -> None:
    if exported.spec.backbone != zoo.DEFAULT_BACKBONE and name not in QUICK:
        pytest.skip("takes minutes of a network of stride 4, whose file its export compares by itself")
    try:
        check_installed(name)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    config = ExportConfig(backbone=exported.spec.backbone, target=name, parity_data=faces)
    # ONNX Runtime's answers, which take most of a check's time, are kept for the model's other targets.
    done = convert_file(exported, config, tmp_path / f"model{TARGETS[name].suffix}", answers=exported.path.parent)
    reports = done.parity[len(exported.parity) :]
    assert len(reports) == len(TARGETS[name].checked_in)
    for report in reports:
        assert report.frames >= FACES
        assert report.equal >= 0.9999
        assert report.failures() == []
    assert all(path.is_file() for path in done.files)
