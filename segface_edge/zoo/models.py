"""Every model that has a name: the authors' published checkpoints, the released ones, the face detector. One table.

The authors' files lie in the Hugging Face repository kartiknarayan/SegFace. Seen, in that repository's card and in the
README of the authors' code: the fourteen folders, each with one `model_299.pt`, the licence MIT and the figures of the
paper. Not seen, because nobody here could reach it: the files themselves. So neither their sizes nor their hashes are
in this table: the hub tells both when it is asked (`fetch.py`), and what came first is recorded beside the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segface_edge.cache import cache_folder
from segface_edge.errors import InputError, UsageError

from . import DETECTOR, RELEASED

_REPOSITORY = "https://huggingface.co/kartiknarayan/SegFace"
_FILE = "model_299.pt"
_PREFIX = "segface/"
_NON_COMMERCIAL = "non-commercial research only"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that has a name.

    Attributes:
        name: what commands and `FaceParser.from_pretrained` take.
        what: what it is, a few words.
        terms: terms of use, one line.
        url: where it is; None: it is bundled.
        file: its place below the models' folder of the cache, or in the package.
        size: in bytes, where it is known.
        sha256: of the file, where it is known.
        backbone, labels, trained_size: of the authors' checkpoints, by their folder's name.
    """

    name: str
    what: str
    terms: str
    file: Path
    url: str | None = None
    size: int | None = None
    sha256: str | None = None
    backbone: str | None = None
    labels: str | None = None
    trained_size: int | None = None

    @property
    def published(self) -> bool:
        """One of the authors' checkpoints, to be imported before it is used."""
        return self.name.startswith(_PREFIX)

    @property
    def place(self) -> Path:
        """Where the file is, or will be when it has been fetched."""
        return models_folder() / self.file

    def cached(self, suffix: str) -> Path:
        """Where the model is kept as another kind of file (`.safetensors`, `.onnx`) that was made of it."""
        return models_folder() / f"{self.name}{suffix}"


def models_folder() -> Path:
    """Where models are kept: a folder of the cache."""
    return cache_folder() / "models"


def _published(folder: str, backbone: str, data: str, size: int, f1: float | None) -> Model:
    labels, title, data_terms = {
        "celeba": ("segface", "CelebAMask-HQ", f"data whose terms allow {_NON_COMMERCIAL}"),
        "lapa": ("lapa", "LaPa", f"data whose terms allow {_NON_COMMERCIAL}"),
        "helen": ("helen", "Helen", "photos whose rights are their owners'"),
    }[data]
    measured = "" if f1 is None else f", mean F1 {f1:.2f}"
    return Model(
        name=f"{_PREFIX}{backbone}_{data}_{size}",
        what=f"SegFace's authors' {backbone}, {title}, {size} x {size}{measured}",
        terms=f"published under the MIT licence; trained on {title}: {data_terms}",
        # A commit is not named: nobody here saw one that holds all fourteen.
        url=f"{_REPOSITORY}/resolve/main/{folder}/{_FILE}",
        file=Path("segface", folder, _FILE),
        backbone=backbone,
        labels=labels,
        trained_size=size,
    )


def _released(backbone: str, path: Path) -> Model:
    return Model(
        name=backbone,
        what=f"this project's {backbone}, CelebAMask-HQ",
        terms=f"trained on CelebAMask-HQ: {_NON_COMMERCIAL}",
        file=path,
        size=path.stat().st_size,
        backbone=backbone,
        labels="segface",
    )


MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        *(_released(backbone, path) for backbone, path in RELEASED.items()),
        _published("convnext_celeba_512", "convnext_base", "celeba", 512, 89.22),
        _published("efficientnet_celeba_512", "efficientnet", "celeba", 512, 88.94),
        _published("mobilenet_celeba_512", "mobilenet", "celeba", 512, 87.91),
        _published("resnet_celeba_512", "resnet", "celeba", 512, 87.50),
        _published("swinb_celeba_224", "swin_base", "celeba", 224, 87.47),
        _published("swinb_celeba_256", "swin_base", "celeba", 256, 87.66),
        _published("swinb_celeba_448", "swin_base", "celeba", 448, 88.77),
        _published("swinb_celeba_512", "swin_base", "celeba", 512, 88.96),
        _published("swinv2b_celeba_512", "swinv2_base", "celeba", 512, 88.73),
        _published("swinb_lapa_224", "swin_base", "lapa", 224, 92.50),
        _published("swinb_lapa_256", "swin_base", "lapa", 256, 92.61),
        _published("swinb_lapa_448", "swin_base", "lapa", 448, 93.03),
        _published("swinb_lapa_512", "swin_base", "lapa", 512, 93.03),
        _published("swinb_helen_512", "swin_base", "helen", 512, None),
        Model(
            name="yunet",
            what="face detector, instead of the bundled one (today the same file)",
            terms="Apache-2.0",
            url="https://github.com/ShiqiYu/libfacedetection.train/raw/"
            "47198234de8c4646961e46159e02af5b06021a78/onnx/yunet_n_640_640.onnx",
            file=Path("yunet.onnx"),
            size=317_466,
            sha256="25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
        ),
    )
}


def detector() -> Path:
    """YuNet's file: what was fetched goes before the bundled one."""
    fetched = MODELS["yunet"].place
    return fetched if fetched.is_file() else DETECTOR


def find(name: str) -> Model:
    """The model of a name. The authors' folder does as well: `segface/swinb_celeba_512`, with or without `segface/`.

    Raises:
        UsageError: there is none of that name.
    """
    found = _known(name)
    if found is None:
        raise UsageError(f"model {name!r}", "is unknown", "see what there is: segface-edge models list")
    return found


def _known(name: str) -> Model | None:
    return MODELS.get(name) or MODELS.get(f"{_PREFIX}{name}") or of_folder(name.removeprefix(_PREFIX))


def of_folder(folder: str) -> Model | None:
    """The published checkpoint whose folder has that name in the authors' repository."""
    return next((model for model in MODELS.values() if model.published and model.file.parent.name == folder), None)


def of_backbone(backbone: str) -> Iterator[Model]:
    """The published checkpoints of a backbone, those for larger squares first."""
    found = [model for model in MODELS.values() if model.published and model.backbone == backbone]
    yield from sorted(found, key=lambda model: -(model.trained_size or 0))


def is_name(given: str | Path) -> bool:
    """Whether what was given as a file is none, but the name of a model, be it one that is unknown (`segface/vgg`)."""
    text, path = str(given), Path(given)
    return (_known(text) is not None or (text.startswith(_PREFIX) and not path.suffix)) and not path.exists()


def checkpoint_of(model: Model) -> Path:
    """The checkpoint of a model, in this project's own format.

    Raises:
        InputError: it was not fetched, or not imported.
    """
    path = model.cached(".safetensors") if model.published else model.place
    if not path.is_file():
        raise InputError(f"model '{model.name}'", "is not here", f"fetch it: segface-edge models fetch {model.name}")
    return path
