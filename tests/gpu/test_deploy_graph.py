"""The deploy graph in PyTorch on a GPU: fp32, fp16 and as a CUDA graph, against the reference network in eager mode."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="it runs PyTorch")

from segface_edge import zoo
from segface_edge.evaluation.limits import LIMITS
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.network import read_checkpoint
from segface_edge.network.checkpoint import load_segface
from segface_edge.network.deploy import DeployGraph, normalise

SIZE = 384


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    checkpoint = read_checkpoint(zoo.RELEASED["mobilenet"])
    return load_segface(
        checkpoint, backbone="mobilenet", labels=None, image_size=SIZE, source=zoo.RELEASED["mobilenet"]
    ).eval()


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    return torch.from_numpy(np.stack(bundled_faces(SIZE)[::6])).cuda()


@pytest.fixture(scope="module")
def wanted(network: torch.nn.Module, frames: torch.Tensor) -> torch.Tensor:
    """The reference network's labels, in eager mode and fp32."""
    network.cuda()
    with torch.inference_mode():
        return network(normalise(frames)).argmax(1)


@torch.inference_mode()
def test_fp32_gives_the_references_labels(network: torch.nn.Module, frames: torch.Tensor, wanted: torch.Tensor) -> None:
    (labels,) = DeployGraph(network).cuda()(frames)
    assert (labels == wanted).float().mean() >= LIMITS["fp32"].equal


@torch.inference_mode()
def test_fp16_gives_nearly_the_references_labels(
    network: torch.nn.Module, frames: torch.Tensor, wanted: torch.Tensor
) -> None:
    with torch.autocast("cuda", torch.float16):
        (labels,) = DeployGraph(network).cuda()(frames)
    assert (labels == wanted).float().mean() >= LIMITS["fp16"].equal


@torch.inference_mode()
def test_a_cuda_graph_gives_what_eager_mode_gives(network: torch.nn.Module, frames: torch.Tensor) -> None:
    deploy = DeployGraph(network).cuda()
    static = frames[:1].clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            deploy(static)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        (recorded,) = deploy(static)
    for frame in frames[:3]:
        static.copy_(frame[None])
        graph.replay()
        (eager,) = deploy(frame[None])
        assert torch.equal(recorded, eager)
