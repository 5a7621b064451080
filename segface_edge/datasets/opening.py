"""Data sets on disk: photos with label maps, in the layouts that face parsing knows (`layouts/`).

`open_dataset` recognises the layout from what lies there (`LAYOUTS`). Folders are listed once and text files read;
photos and label maps are opened when they are used.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from segface_edge.datasets.layouts.base import Fault, Layout, Listing, base_of
from segface_edge.documents import read_toml
from segface_edge.errors import DataError, InputError, UsageError
from segface_edge.labels import LabelSet, label_set

from .layouts import celebamask_hq, helen, lapa
from .layouts import folder as plain
from .samples import Sample

SETTINGS = "dataset.toml"
# The first that fits counts: LaPa's has the folders of `folder`, and one more.
LAYOUTS: dict[str, Layout] = {
    "celebamask-hq": celebamask_hq.LAYOUT,
    "lapa": lapa.LAYOUT,
    "helen": helen.LAYOUT,
    "folder": plain.LAYOUT,
}


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Photos with label maps.

    Attributes:
        root: the folder that was opened.
        layout: key of `LAYOUTS`.
        split: `train`, `val` or `test`; None where the set is not divided.
        order: of the ids that `Sample.read_labels(order)` gives.
        samples: sorted by name.
        faults: photos that are left out; none where it was opened with `strict`.
        spare: files without their partner, which do no harm: label maps without a photo.
    """

    root: Path
    layout: str
    split: str | None
    order: LabelSet
    samples: tuple[Sample, ...]
    faults: tuple[Fault, ...] = ()
    spare: tuple[Path, ...] = ()


def open_dataset(
    root: Path,
    *,
    split: str | None = None,
    order: LabelSet | None = None,
    layout: str | None = None,
    default: LabelSet | None = None,
    strict: bool = True,
) -> DataSet:
    """Opens a labelled data set.

    Args:
        root: its folder.
        split: `train`, `val` or `test`; None is the only one, or the whole of a set that is not divided.
        order: of the ids on disk, whatever the set says (CelebAMask-HQ's own layout, which has no ids, gives labels
            in it).
        layout: key of `LAYOUTS`; None finds out.
        default: the order where neither `order` nor the data set names one.
        strict: raise what is wrong with a file's name, place or points; otherwise list it in `DataSet.faults`.

    Raises:
        DataError: not a layout or split that lies there, no order named, files missing, a text file malformed.
        UsageError: `layout` is unknown.
    """
    kind = _recognise(root, layout)
    there = LAYOUTS[kind].splits(root)
    if split is None and None not in there and len(there) != 1:
        raise DataError(
            root,
            f"has the splits {_names(there)}",
            "name one of them: --split (in a recipe data.train_split, data.val_split)",
        )
    if split is not None and split not in there:
        known, divided_by = _names(there), LAYOUTS[kind].divided_by
        undivided = "leave the split out: it is undivided" + (f"; or add {divided_by}" if divided_by else "")
        raise DataError(root, f"has no split '{split}'", f"use one of: {known}" if known else undivided)
    chosen = split if split is not None or None in there else there[0]
    listing = LAYOUTS[kind].read(root, chosen)
    if strict and listing.faults:
        _raise_first(listing)
    return DataSet(
        root=root,
        layout=kind,
        split=chosen,
        order=order or _own_order(root, kind, chosen) or default or _no_order(root),
        samples=tuple(listing.samples),
        faults=tuple(listing.faults),
        spare=tuple(listing.spare),
    )


def open_splits(
    root: Path,
    *,
    split: str | None = None,
    order: LabelSet | None = None,
    layout: str | None = None,
    strict: bool = True,
) -> list[DataSet]:
    """Every split of a data set, or the one that is named; arguments and errors as of `open_dataset`."""
    kind = _recognise(root, layout)
    names = LAYOUTS[kind].splits(root) if split is None else (split,)
    return [open_dataset(root, split=name, order=order, layout=kind, strict=strict) for name in names]


def folder(root: Path) -> list[Sample]:
    """A folder with `images/NAME.jpg` (or another picture suffix) and `labels/NAME.png`, sorted by name.

    Raises:
        DataError: a folder is absent or empty, or a photo has no label map.
    """
    listing = plain.read_folder(root, None)
    if listing.faults:
        _raise_first(listing)
    return listing.samples


def _recognise(root: Path, layout: str | None) -> str:
    """The key of the layout in `root`."""
    if layout is not None and layout not in LAYOUTS:
        raise UsageError(f"layout {layout!r}", "is unknown", f"use one of: {', '.join(LAYOUTS)}")
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "no such folder"
        raise DataError(root, problem, "give the folder of a labelled data set")
    if layout is not None:
        if not LAYOUTS[layout].lies_in(root):
            like = next((f"; it looks like '{name}'" for name, known in LAYOUTS.items() if known.lies_in(root)), "")
            raise DataError(root, f"is not laid out as '{layout}'", f"it takes {LAYOUTS[layout].files}{like}")
        return layout
    found = next((name for name, known in LAYOUTS.items() if known.lies_in(root)), None)
    if found is None:
        known = "; ".join(f"{name}: {known.files}" for name, known in LAYOUTS.items())
        raise DataError(root, "is of no known layout", f"lay it out as one of these. {known}")
    return found


def _names(splits: Iterable[str | None]) -> str:
    return ", ".join(name for name in splits if name)


def _raise_first(listing: Listing) -> None:
    """Raises the first fault, with how many there are of its kind."""
    first = listing.faults[0]
    kinds = [fault.kind for fault in listing.faults]
    alike = kinds.count(first.kind)
    if first.kind == "missing":
        what = "have no label map" if Path(first.error.subject).suffix == ".png" else "lack a file"
        counted = f" ({alike} of {len(listing.samples) + alike} photos {what})"
    elif len(kinds) > 1:
        counted = f" (and {len(kinds) - 1} more: segface-edge data check lists all)"
    else:
        counted = ""
    raise DataError(first.error.subject, first.error.problem + counted, first.error.cure) from first.error


def _own_order(root: Path, layout: str, split: str | None) -> LabelSet | None:
    """The order that the layout prescribes or `dataset.toml` names; the file nearest to the photos counts."""
    prescribed = LAYOUTS[layout].order
    if prescribed is not None:
        return label_set(prescribed)
    for place in dict.fromkeys((base_of(root, split), root)):
        if (place / SETTINGS).is_file():
            return _settings_order(place / SETTINGS)
    return None


def _no_order(root: Path) -> LabelSet:
    raise DataError(
        root,
        "does not say in which order its labels are",
        f'name it: --label-order (in a recipe data.label_order), or label_order = "NAME" in its {SETTINGS}',
    )


def _settings_order(path: Path) -> LabelSet | None:
    """`label_order` of a `dataset.toml`, None where it names none."""
    try:
        settings = read_toml(path)
    except InputError as error:
        raise DataError(path, error.problem, error.cure) from error
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error})", 'write it in TOML: label_order = "NAME"') from error
    unknown = [key for key in settings if key != "label_order"]
    if unknown:
        raise DataError(path, f"has the unknown key '{', '.join(unknown)}'", "use: label_order")
    name = settings.get("label_order")
    if name is None:
        return None
    if not isinstance(name, str):
        raise DataError(path, f"label_order = {name!r} is not a name", "write it in quotes")
    try:
        return label_set(name)
    except UsageError as error:
        raise DataError(path, f"{error.subject} {error.problem}", error.cure) from error
