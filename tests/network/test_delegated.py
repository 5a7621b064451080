"""The deploy graph in XNNPACK's operators computes what the deploy graph computes."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge import zoo
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.network import read_checkpoint
from segface_edge.network.checkpoint import load_segface
from segface_edge.network.delegated import DelegatedGraph
from segface_edge.network.deploy import DeployGraph
from segface_edge.network.segface import SegFace

SIZE = 64


@pytest.fixture(scope="module", params=sorted(zoo.RELEASED))
def network(request: pytest.FixtureRequest) -> SegFace:
    """A released one, at a small size: tokens at stride 8 and one block, at stride 4 and two."""
    path = zoo.RELEASED[request.param]
    return load_segface(read_checkpoint(path), image_size=SIZE, source=path).eval()


@pytest.fixture(scope="module")
def face() -> torch.Tensor:
    return torch.tensor(bundled_faces(SIZE)[0])[None]


@torch.inference_mode()
def test_logits_are_the_same_but_for_rounding(network: SegFace, face: torch.Tensor) -> None:
    (wanted,), (found,) = (graph(network, "logits").eval()(face) for graph in (DeployGraph, DelegatedGraph))
    assert found.shape == wanted.shape == (1, 19, SIZE, SIZE)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


@torch.inference_mode()
def test_labels_and_confidence_lie_where_they_did(network: SegFace, face: torch.Tensor) -> None:
    wanted, found = (graph(network, "confidence").eval()(face) for graph in (DeployGraph, DelegatedGraph))
    assert found[0].dtype == found[1].dtype == torch.uint8
    assert torch.equal(found[0], wanted[0])
    assert (found[1].int() - wanted[1].int()).abs().max() <= 1
    assert torch.equal(DelegatedGraph(network).eval()(face)[0], wanted[0])


def test_no_array_has_more_axes_than_xnnpack_has(network: SegFace, face: torch.Tensor) -> None:
    program = torch.export.export(DelegatedGraph(network).eval(), (face,))
    shapes = [node.meta["val"].shape for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    assert len(shapes) > 100
    assert max(map(len, shapes)) <= 6
