"""Where the time of a run goes, by blocks of the network and kinds of operators."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from segface_edge import zoo
from segface_edge.bench.devices import Device, Figure
from segface_edge.bench.layers import blocks_of, layers_document, layers_lines
from segface_edge.engines.layers import Layer, Profile
from segface_edge.engines.ort.nodes import Node, read_nodes


def node(name: str, inputs: str, outputs: str) -> Node:
    return Node(name=name, operator="Op", inputs=tuple(inputs.split()), outputs=tuple(outputs.split()))


def test_a_node_belongs_to_the_block_that_its_weight_names() -> None:
    names = {
        "backbone.0.1.weight": "backbone",
        "backbone.features.1.0.layer_scale": "backbone",
        "fusion.weights.0": "fusion",
        "tokens_to_image.1.key_weight": "tokens to image 2",
        "image_to_tokens.0.out_weight": "image to tokens 1",
        "image_norms.0.bias": "image to tokens 1",
        "blocks.1.mlp.layers.0.weight": "tokens 2",
        "head.skip": "head",
        # The plain network's.
        "model.backbone.0.1.weight": "backbone",
        "model.fusion.linear_c.0.proj.weight": "fusion",
        "model.face_decoder.transformer.layers.1.cross_attn_token_to_image.k_proj.weight": "tokens to image 2",
        "model.face_decoder.transformer.layers.0.cross_attn_image_to_token.q_proj.weight": "image to tokens 1",
        "model.face_decoder.transformer.layers.0.norm4.weight": "image to tokens 1",
        "model.face_decoder.transformer.layers.1.self_attn.q_proj.weight": "tokens 2",
        "model.face_decoder.transformer.final_attn_token_to_image.q_proj.weight": "tokens to image, last",
        "model.face_decoder.output_upscaling.0.weight": "head",
        "model.face_decoder.output_hypernetwork_mlps.layers.0.weight": "head",
    }
    nodes = [node(str(i), f"x {name}", f"t{i}") for i, name in enumerate(names)]
    assert blocks_of(nodes) == {str(i): block for i, block in enumerate(names.values())}


def test_without_a_weight_it_belongs_to_the_latest_node_that_it_reads() -> None:
    nodes = [
        node("normalise", "frames", "n"),
        node("side", "frames", "s"),
        node("conv", "n backbone.0.weight", "c"),
        node("relu", "c", "r"),
        node("mix", "r fusion.weights.0", "f"),
        node("shape", "f s", "v"),
        node("sum", "r f", "y"),
    ]
    wanted = ["frames", "frames", "backbone", "backbone", "fusion", "fusion", "fusion"]
    assert list(blocks_of(nodes).values()) == wanted


def test_the_blocks_of_the_bundled_model_come_in_the_network_s_order() -> None:
    nodes = read_nodes(zoo.DEFAULT_MODEL.read_bytes())
    blocks = blocks_of(nodes)
    assert {"backbone", "fusion", "tokens to image 1", "image to tokens 1", "tokens 1", "head"} <= set(blocks.values())
    assert {blocks[one.name] for one in nodes if one.operator == "ArgMax"} == {"head"}
    assert {blocks[one.name] for one in nodes if one.operator == "Conv"} == {"backbone"}
    order = list(dict.fromkeys(blocks[one.name] for one in nodes if one.operator in ("Conv", "MatMul", "ArgMax")))
    assert (order[:2], order[-1]) == (["backbone", "fusion"], "head")


@dataclass(frozen=True)
class Work:
    macs: int
    reads: dict[str, int]
    writes: dict[str, int]
    precision: str = "fp32"


def device(fp32: float, int8: float, bandwidth: float) -> Device:
    figures = {name: Figure(value=value, source="test") for name, value in (("fp32", fp32), ("int8", int8))}
    return Device(name="d", title="a device", peaks=figures, bandwidth=Figure(value=bandwidth, source="test"))


NODES = [
    node("conv", "x backbone.0.weight", "c"),
    node("norm", "c", "n"),
    node("mix", "n fusion.weights.0", "f"),
    node("product", "f head.skip", "y"),
]
WORK = {
    "conv": Work(macs=2_000_000, reads={"x": 3, "backbone.0.weight": 2}, writes={"c": 10}),
    "norm": Work(macs=0, reads={"c": 10}, writes={"n": 25}),
    "mix": Work(macs=0, reads={"n": 25, "fusion.weights.0": 1}, writes={"f": 4}),
    "product": Work(macs=1_000_000, reads={"f": 4, "head.skip": 2}, writes={"y": 5}, precision="int8"),
}


@pytest.fixture
def profile() -> Profile:
    layers = (
        Layer(name="c_nchwc", kind="Conv", covers=("conv", "norm"), ms=(2.0, 2.0, 9.0)),
        Layer(name="back", kind="Reorder", covers=(), ms=(0.5, 0.5, 9.0)),
        Layer(name="product", kind="MatMul", covers=("product",), ms=(1.0, 0.0, 9.0)),
        Layer(name="mix", kind="MatMul", covers=("mix",), ms=(1.0, 1.0, 9.0)),
    )
    return Profile(layers=layers, ms=(5.0, 4.0, 40.0), graph=None)


def test_times_are_of_the_faster_half_of_the_runs(profile: Profile) -> None:
    document = layers_document(profile, NODES, WORK)
    assert (document["runs"], document["run_ms"], document["layers_ms"]) == (2, 4.5, 4.0)
    assert [row["ms"] for row in document["layers"]] == [2.0, 0.5, 0.5, 1.0]
    assert sum(row["share"] for row in document["layers"]) == pytest.approx(1)


def test_blocks_and_kinds_sum_the_layers(profile: Profile) -> None:
    document = layers_document(profile, NODES, WORK)
    blocks = [(row["block"], row["ms"], row["share"], row["macs"], row["bytes"]) for row in document["blocks"]]
    assert blocks == [
        # What lies between the convolution and the norm, which run as one, is neither read nor written.
        ("backbone", 2.0, 0.5, 2_000_000, 3 + 2 + 25),
        ("fusion", 1.0, 0.25, 0, 25 + 1 + 4),
        ("head", 0.5, 0.125, 1_000_000, 4 + 2 + 5),
        ("runtime", 0.5, 0.125, 0, 0),
    ]
    assert [(row["kind"], row["ms"]) for row in document["kinds"]] == [("Conv", 2.0), ("MatMul", 1.5), ("Reorder", 0.5)]


def test_what_was_not_counted_is_said_to_be_unknown(profile: Profile) -> None:
    document = layers_document(profile, NODES, None)
    for what in ("macs", "bytes", "roof_ms"):
        assert {row[what] for row in (*document["layers"], *document["blocks"], *document["kinds"])} == {None}
    lines = layers_lines(document)
    assert lines[0].startswith("where the time goes: 4.50 ms a run (mean of the faster 2), 4.00 ms of it in layers")
    assert lines[2].split() == ["backbone", "2.000", "50.0%", "-", "-", "-", "-"]


def test_without_the_file_nothing_is_told_of_blocks() -> None:
    layers = (Layer(name="fused", kind="kgen", covers=(), ms=(1.0,)),)
    document = layers_document(Profile(layers=layers, ms=(1.0,), graph=None), [], None)
    assert [(row["block"], row["ms"]) for row in document["blocks"]] == [("network", 1.0)]


def test_a_layer_is_held_against_the_larger_of_arithmetic_and_memory(profile: Profile) -> None:
    # 4 M operations at 4 G a second: 1 ms, and 30 bytes at 60,000 a second: 0.5 ms.
    document = layers_document(profile, NODES, WORK, device(fp32=4e9, int8=8e9, bandwidth=60_000))
    roofs = {row["name"]: row["roof_ms"] for row in document["layers"]}
    assert roofs == pytest.approx({"c_nchwc": 1.0, "back": 0.0, "mix": 0.5, "product": 0.25})
    assert [row["roof_ms"] for row in document["blocks"]] == pytest.approx([1.0, 0.5, 0.25, 0.0])
    assert document["roofline"]["operations_per_second"] == {"fp32": 4e9, "int8": 8e9}
    lines = layers_lines(document)
    assert lines[2].split()[-1] == "50%"
    assert "roof: a device, operations a second (two a multiplication): 4 G in fp32, 8 G in int8; 0.0 GB/s" in lines[6]


def test_people_see_the_rate_of_multiplications(profile: Profile) -> None:
    lines = layers_lines(layers_document(profile, NODES, WORK))
    assert lines[2].split() == ["backbone", "2.000", "50.0%", "2.0", "1.0", "0.00", "-"]
    assert "slowest layers" in lines[6]
    assert lines[7].split() == ["Conv", "2.000", "50.0%", "2.0", "1.0", "0.00", "-", "backbone:", "c_nchwc"]
