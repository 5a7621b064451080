"""The network's interface and size."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge.errors import UsageError
from segface_edge.network import build_segface
from segface_edge.network.decoder import ChannelNorm, FourierPosition


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_segface("mobilenet", "segface", 64).eval()


def test_eleven_classes_have_the_paper_s_parameter_count() -> None:
    model = build_segface("mobilenet", "lapa")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(7.034e6, abs=5e2)


@pytest.mark.parametrize(("order", "classes"), [("segface", 19), ("lapa", 11), ("helen", 11), ("bisenet", 19)])
def test_logits_have_a_plane_per_class(order: str, classes: int) -> None:
    with torch.inference_mode():
        assert build_segface("mobilenet", order, 64).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, classes, 64, 64)


@pytest.mark.parametrize("side", [32, 64, 96])
def test_any_side_divisible_by_32_is_taken(model: torch.nn.Module, side: int) -> None:
    with torch.inference_mode():
        assert model(torch.zeros(2, 3, side, side)).shape == (2, 19, side, side)


@pytest.mark.parametrize("shape", [(1, 3, 60, 60), (1, 3, 64, 32), (1, 1, 64, 64), (3, 64, 64)])
def test_other_shapes_are_refused(model: torch.nn.Module, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="divisible by 32"):
        model(torch.zeros(shape))


def test_landmarks_are_refused_where_they_would_be_ignored(model: torch.nn.Module) -> None:
    with pytest.raises(UsageError, match="landmarks"):
        model(torch.zeros(1, 3, 64, 64), torch.zeros(1, 5, 2))


def test_a_network_that_warps_wants_five_points_a_face() -> None:
    warps = build_segface("mobilenet", "lapa", 64, warps=True).eval()
    images = torch.zeros(2, 3, 64, 64)
    with pytest.raises(UsageError, match="landmarks: are missing"):
        warps(images)
    with pytest.raises(UsageError, match=r"landmarks of shape \(1, 5, 2\): are not \(2, 5, 2\)"):
        warps(images, torch.zeros(1, 5, 2))


def test_each_image_of_a_batch_is_warped_by_its_own_points() -> None:
    torch.manual_seed(0)
    warps = build_segface("mobilenet", "lapa", 64, warps=True).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    points = torch.tensor([[[20.0, 25], [42, 25], [32, 36], [24, 46], [40, 46]]]).repeat(2, 1, 1)
    points[1] += 6
    with torch.inference_mode():
        together = warps(images, points)
        alone = torch.cat([warps(images[i : i + 1], points[i : i + 1]) for i in range(2)])
        unwarped = warps.plain(images)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    assert (together - unwarped).abs().max() > 0.1 * unwarped.abs().max()


def test_a_batch_gives_what_its_images_give_alone(model: torch.nn.Module) -> None:
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_taps_lie_at_strides_4_to_32(model: torch.nn.Module) -> None:
    with torch.inference_mode():
        taps = model.backbone.features(torch.zeros(1, 3, 64, 64))
    assert [tuple(tap.shape[1:]) for tap in taps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (960, 2, 2)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "vgg"}, "use one of: mobilenet"),
        ({"labels": "coco"}, "use one of: segface"),
        ({"image_size": 250}, "multiple of 32"),
        ({"image_size": 0}, "multiple of 32"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_segface(**arguments)  # type: ignore[arg-type]


def test_positional_term_is_sine_and_cosine_of_the_projected_centres() -> None:
    layer = FourierPosition()
    matrix = layer.positional_encoding_gaussian_matrix.double()
    found = layer(2, 3)
    for row in range(2):
        for column in range(3):
            x, y = 2 * (column + 0.5) / 3 - 1, 2 * (row + 0.5) / 2 - 1
            angle = 2 * torch.pi * (x * matrix[0] + y * matrix[1])
            wanted = torch.cat([angle.sin(), angle.cos()]).float()
            torch.testing.assert_close(found[row * 3 + column], wanted, rtol=0, atol=2e-5)


def test_channel_norm_is_torch_s_layer_norm_over_channels() -> None:
    x = torch.randn(2, 8, 3, 5, generator=torch.Generator().manual_seed(0))
    norm = ChannelNorm(8)
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    wanted = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), (8,), norm.weight, norm.bias, 1e-6)
    torch.testing.assert_close(norm(x), wanted.permute(0, 3, 1, 2))


def test_the_order_of_sums_in_training_changes_nothing() -> None:
    """In training the fusion is folded and the channel norm one operator: the same logits, the same gradients."""
    torch.manual_seed(1)
    model = build_segface("mobilenet", "segface", 64)
    images = torch.randn(2, 3, 64, 64)
    found = []
    for training in (False, True):
        model.train(training)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        model.zero_grad()
        logits = model(images)
        logits.square().mean().backward()
        gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
        found.append((logits.detach(), gradients))
    (plain, plain_gradients), (other, other_gradients) = found
    assert (plain - other).abs().max() < 1e-5 * plain.abs().max()
    largest = max(gradient.abs().max() for gradient in plain_gradients.values())
    for name, gradient in plain_gradients.items():
        assert (gradient - other_gradients[name]).abs().max() < 1e-5 * largest, name
