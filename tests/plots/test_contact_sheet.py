"""The contact sheet: what lies where, in which colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segface_edge.errors import InputError, UsageError
from segface_edge.labels import label_set
from segface_edge.parsing.result import FaceParse
from segface_edge.plots.contact_sheet import contact_sheet, write_sheet

Array = npt.NDArray[np.uint8]
ORDER = label_set("segface")
HAIR, HAT = ORDER.index("hair"), ORDER.index("hat")
RED, BLUE = (255, 40, 40), (90, 90, 255)


def row(height: int = 64, width: int = 96, grey: int = 200) -> tuple[Array, Array, Array]:
    """A grey photo; hair on the left of both maps, a hat on the prediction's right."""
    image = np.full((height, width, 3), grey, np.uint8)
    truth = np.zeros((height, width), np.uint8)
    truth[:, : width // 4] = HAIR
    predicted = truth.copy()
    predicted[:, -width // 4 :] = HAT
    return image, truth, predicted


def count(sheet: Array, colour: tuple[int, ...] | Array) -> int:
    return int((sheet == np.asarray(colour, np.uint8)).all(axis=2).sum())


def contains(sheet: Array, tile: Array) -> bool:
    """Whether `tile` lies somewhere in `sheet`, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, tile.shape)[..., 0, :, :, :]
    return bool((windows == tile).all(axis=(2, 3, 4)).any())


def test_it_shows_the_photo_and_both_maps_as_a_parse_does() -> None:
    image, truth, predicted = row(24, 32)
    sheet = contact_sheet([(image, truth, predicted)], ORDER, ["one"])
    assert (sheet.dtype, sheet.ndim, sheet.shape[2]) == (np.uint8, 3, 3)
    assert contains(sheet, image)
    for labels in (truth, predicted):
        assert contains(sheet, FaceParse(image=image, labels=labels, label_set=ORDER).overlay(0.6))


def test_wrong_pixels_alone_are_red() -> None:
    image, truth, predicted = row()
    assert count(contact_sheet([(image, truth, predicted)], ORDER, ["one"]), RED) == int((truth != predicted).sum())
    assert count(contact_sheet([(image, truth, truth)], ORDER, ["one"]), RED) == 0


def test_ignored_pixels_are_no_errors() -> None:
    image, truth, predicted = row()
    truth[:, -24:] = 255
    sheet = contact_sheet([(image, truth, predicted)], ORDER, ["one"])
    assert (count(sheet, RED), count(sheet, BLUE)) == (0, 64 * 24)


def test_the_key_shows_the_classes_that_occur() -> None:
    sheet = contact_sheet([row()], ORDER, ["one"])[-26:]
    assert count(sheet, ORDER.palette[HAIR]) > 100
    assert count(sheet, ORDER.palette[HAT]) > 100
    assert count(sheet, ORDER.palette[ORDER.index("neck_l")]) == 0


def test_rows_of_other_shapes_share_a_sheet_and_tiles_keep_their_limit() -> None:
    rows = [row(400, 200), row(100, 600), row(40, 40)]
    sheet = contact_sheet(rows, ORDER, ["tall", "wide", "small"], tile=100)
    assert sheet.shape[1] <= 4 * 110
    assert sheet.shape[0] <= 100 + 17 + 40 + 6 * 30
    # A photo that is smaller than a tile is not enlarged.
    assert contains(sheet, rows[2][0])


def test_label_maps_may_be_smaller_than_their_photo() -> None:
    """As CelebAMask-HQ's are: 512 pixels against 1024."""
    image, truth, predicted = row(128, 192)
    small = contact_sheet([(image, truth[::2, ::2], predicted[::2, ::2])], ORDER, ["one"])
    np.testing.assert_array_equal(small, contact_sheet([(image, truth, predicted)], ORDER, ["one"]))


def test_captions_change_their_own_line_only_and_long_ones_are_cut() -> None:
    plain, named = (contact_sheet([row(), row()], ORDER, ["", second]) for second in ("", "mean F1 = 12.3"))
    changed = np.flatnonzero((plain != named).any(axis=(1, 2)))
    assert len(changed)
    assert changed.max() - changed.min() < 20
    assert contact_sheet([row()], ORDER, ["long\n" * 200]).shape == contact_sheet([row()], ORDER, [""]).shape


def test_the_rows_given_stay_as_they_are() -> None:
    given = row(300, 300)
    before = [part.copy() for part in given]
    contact_sheet([given], ORDER, ["one"])
    for part, kept in zip(given, before, strict=True):
        np.testing.assert_array_equal(part, kept)


def test_what_cannot_be_shown_is_refused() -> None:
    image, truth, predicted = row()
    with pytest.raises(UsageError, match="has no rows"):
        contact_sheet([], ORDER, [])
    with pytest.raises(UsageError, match="1 rows and 2 captions"):
        contact_sheet([row()], ORDER, ["one", "two"])
    with pytest.raises(UsageError, match="one: label maps .* differ in shape"):
        contact_sheet([(image, truth[1:], predicted)], ORDER, ["one"])
    with pytest.raises(UsageError, match="one: has the label 16, 'lapa' ends at 10"):
        contact_sheet([row()], label_set("lapa"), ["one"])
    with pytest.raises(UsageError, match="tile 8: is too small"):
        contact_sheet([row()], ORDER, ["one"], tile=8)


def test_a_sheet_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    sheet = contact_sheet([row()], ORDER, ["one"])
    write_sheet(sheet, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), sheet)
    with pytest.raises(InputError, match="cannot be written"):
        write_sheet(sheet, tmp_path / "absent" / "sheet.png")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
