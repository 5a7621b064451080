"""What every error of ours is: one line that a terminal shows."""

from __future__ import annotations

import pickle

from segface_edge.errors import InputError


def test_what_moves_the_cursor_is_written_out() -> None:
    error = InputError("a\x1b[2J.toml", "has the key 'x\x00\ud800'\nand more", "say\tanother")
    assert str(error) == r"a\x1b[2J.toml: has the key 'x\x00\ud800' and more; say another"
    assert error.subject == "a\x1b[2J.toml"  # as it was given: files are found by it
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_letters_of_any_script_stay() -> None:
    assert str(InputError("фото.jpg", "是", "é 😀")) == "фото.jpg: 是; é 😀"


def test_what_a_file_says_at_length_is_shortened_in_the_middle() -> None:
    line = str(InputError("x", f"begins{'n' * 5000}ends", "mend it"))
    assert len(line) < 1100
    assert line.startswith("x: begins")
    assert line.endswith("ends; mend it")
