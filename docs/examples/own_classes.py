"""Classes of your own: `python own_classes.py train --config recipe.toml`, and so with every command but `start`, which
makes the weights that a training starts from: `python own_classes.py start FROM.safetensors -o START.safetensors`.
"""

import sys
from pathlib import Path

from segface_edge.cli import main
from segface_edge.labels import LABEL_SETS, LabelSet

# A new class goes last, so that the others keep their ids. It begins as a copy of what looks most like it.
NEW, LIKE = "beard", "skin"
LABEL_SETS["mine"] = LabelSet(name="mine", classes=(*LABEL_SETS["segface"].classes, NEW))


def start(given: Path, made: Path) -> None:
    """Weights for one class more: all that the network has of a class by itself is its token."""
    import torch

    from segface_edge.network import build_segface, read_checkpoint
    from segface_edge.network.checkpoint import load_segface, write_checkpoint

    old = load_segface(read_checkpoint(given), image_size=320, source=given)
    tokens, like = old.face_decoder.class_tokens.data, old.labels.index(LIKE)
    new = build_segface(old.backbone_name, LABEL_SETS["mine"], 320)
    new.load_state_dict({**old.state_dict(), "face_decoder.class_tokens": torch.cat([tokens, tokens[like : like + 1]])})
    write_checkpoint(made, new, trained_size=320, terms="as the weights it was made of", notes={})


if __name__ == "__main__":
    start(Path(sys.argv[2]), Path(sys.argv[4])) if sys.argv[1:2] == ["start"] else main()
