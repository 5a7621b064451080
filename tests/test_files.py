"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segface_edge.errors import InputError
from segface_edge.files import check_place, count_in, hidden_folder, whole_file, write_whole

Writing = Callable[[Path], AbstractContextManager[Path]]


class BreakingOffError(Exception):
    """What goes wrong in the middle of writing."""


def test_content_takes_the_place_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_content_is_there_until_the_new_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        assert temporary.parent == tmp_path, "a rename is whole only within one file system"
        assert temporary.suffix == ".bin", "writers choose the format by the suffix"
    assert path.read_bytes() == b"half"


def break_off(path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        raise BreakingOffError


def test_an_exception_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(BreakingOffError):
        break_off(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a.bin"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_an_input_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.bin: cannot be written \(no space left on device\)"):  # noqa: SIM117
        with whole_file(tmp_path / "a.bin"):
            raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "a.bin", b"x")
        after = os.umask(umask)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.bin").stat().st_mode) == mode
    assert after == umask, "the process keeps its umask"


def test_a_missing_folder_is_an_input_error_with_exit_code_1(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_whole(tmp_path / "absent" / "a.bin", b"x")
    assert caught.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_files_place_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "a.bin").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / "a.bin", b"x")
    assert list(tmp_path.iterdir()) == [tmp_path / "a.bin"]


@pytest.mark.parametrize(
    ("place", "problem"), [("folder", "is a folder"), ("absent/a.bin", "its folder does not exist")]
)
def test_a_place_that_cannot_be_written_is_known_before(tmp_path: Path, place: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=problem):
        check_place(tmp_path / place)


def test_checking_a_place_leaves_it_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.bin").write_bytes(b"old")
    check_place(tmp_path / "old.bin")
    check_place(tmp_path / "new.bin")
    assert list(tmp_path.iterdir()) == [tmp_path / "old.bin"]
    assert (tmp_path / "old.bin").read_bytes() == b"old"


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "target.json"]


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["x" * 250 + ".png", "é" * 125 + ".png", "猫" * 83 + ".gif", "x." + "y" * 250])
def test_a_long_name_can_be_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_whole(path, b"content")
    assert path.read_bytes() == b"content"


@pytest.mark.parametrize(
    ("place", "cure"),
    [("absent/x.png", "make the folder, or choose another"), ("file/x.png", "choose another place or make room")],
)
def test_the_cure_is_that_of_the_reason(tmp_path: Path, place: str, cure: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        write_whole(tmp_path / place, b"x")
    assert caught.value.cure == cure


def test_what_a_killed_process_left_of_a_file_is_removed(tmp_path: Path) -> None:
    left, other = tmp_path / ".a.bin.segface-edge-123-4.bin", tmp_path / ".b.bin.segface-edge-123-4.bin"
    for path in (left, other):
        path.write_bytes(b"half of it")
    write_whole(tmp_path / "a.bin", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "a.bin"]


def test_what_a_user_has_hidden_stays(tmp_path: Path) -> None:
    """Whatever numbers it has: by its name alone it might have been left by a process 20241130."""
    files = [tmp_path / name for name in (".a.bin.20241130-1015.bin", ".a.bin.notes.bin")]
    folder = tmp_path / ".page.20241130-1015"
    for path in files:
        path.write_bytes(b"a user's")
    folder.mkdir()
    write_whole(tmp_path / "a.bin", b"new")
    with hidden_folder(tmp_path / "page"):
        pass
    assert sorted(tmp_path.iterdir()) == sorted([*files, folder, tmp_path / "a.bin"])


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    there = tmp_path / ".a.bin.segface-edge-123-4.bin"
    with there.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_whole(tmp_path / "a.bin", b"new")
        assert there.exists()


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize("writing", [whole_file, hidden_folder])
def test_what_another_process_takes_for_left_over_is_given_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writing: Writing, removed: bool
) -> None:
    """It may come between the making of a file and its lock, and be done with it or not."""
    lock, taken = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not taken:
            (path,) = tmp_path.iterdir()
            taken.append((path, os.open(path, os.O_RDONLY)))
            lock(taken[0][1], how)
            if removed:
                path.rmdir() if path.is_dir() else path.unlink()
                os.close(taken[0][1])
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with writing(tmp_path / "a.bin") as temporary:
        ((path, handle),) = taken
        assert temporary != path
        assert temporary.exists()
        assert path.exists() is not removed
    if not removed:
        os.close(handle)


def test_where_there_are_no_locks_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    write_whole(tmp_path / "a.bin", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_ctrl_c_as_the_file_is_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = os.open

    def interrupted(*arguments: Any) -> int:
        os.close(make(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr("segface_edge.files.os", SimpleNamespace(**{**vars(os), "open": interrupted}))
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "a.bin", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_has_become_read_only_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", denied)
    monkeypatch.setattr(Path, "unlink", denied)
    with pytest.raises(InputError, match=r"a\.bin: cannot be written \(read-only file system\)"):
        write_whole(tmp_path / "a.bin", b"new")


def test_what_a_killed_process_left_of_a_folder_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / ".page.segface-edge-123-4" / "new").mkdir(parents=True)
    with hidden_folder(tmp_path / "page") as folder:
        (folder / "new").mkdir()
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("007", 7), ("9" * 18, 10**18 - 1)])
def test_what_can_be_counted_is_a_number(text: str, count: int) -> None:
    assert count_in(text) == count


@pytest.mark.parametrize("text", ["", "-1", "1.0", "²", "x", "9" * 19, "9" * 5000])
def test_what_is_beyond_all_counting_is_none(text: str) -> None:
    assert count_in(text) is None
