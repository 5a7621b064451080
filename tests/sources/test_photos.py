"""Where photos come from."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from segface_edge.errors import DataError
from segface_edge.pictures import reading
from segface_edge.sources import photos
from segface_edge.sources.photos import Source, find, find_all


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "c.webp", "notes.txt", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deeper.jpg").mkdir()
    (tmp_path / "deeper.jpg" / "d.png").write_bytes(b"x")
    return tmp_path


def names(found: list[Source]) -> list[str]:
    return [Path(source.name).name for source in found]


def test_a_folder_gives_its_own_pictures_sorted(album: Path) -> None:
    assert names(find(str(album))) == ["a.png", "b.JPG", "c.webp"]


def test_a_folder_source_holds_its_path(album: Path) -> None:
    first = find(str(album))[0]
    assert first == Source(str(album / "a.png"), album / "a.png", Path("a.png"))


def test_a_glob_gives_the_pictures_that_match(album: Path) -> None:
    assert names(find(str(album / "*.[pt]*"))) == ["a.png"]


def test_a_glob_of_other_suffixes_gives_what_was_asked_for(album: Path) -> None:
    assert names(find(str(album / "*.t*"))) == ["notes.txt"]


def test_two_stars_reach_into_folders(album: Path) -> None:
    assert sorted(names(find(str(album / "**" / "*.png")))) == ["a.png", "d.png"]


def test_a_file_gives_itself(album: Path) -> None:
    assert find(str(album / "b.JPG")) == [Source(str(album / "b.JPG"), album / "b.JPG")]


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    odd, other = tmp_path / "photo[1].jpg", tmp_path / "photo1.jpg"
    odd.write_bytes(b"x")
    other.write_bytes(b"x")
    assert names(find(str(odd))) == ["photo[1].jpg"]


def test_a_missing_file_is_left_to_the_reader_who_names_it(tmp_path: Path) -> None:
    (source,) = find(str(tmp_path / "absent.jpg"))
    with pytest.raises(reading.ImageError, match=r"absent\.jpg: no such file"):
        reading.load(source.photo)


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(b"x")
    with pytest.raises(DataError, match="holds no pictures"):
        find(str(tmp_path))


def test_a_glob_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="matches no file"):
        find(str(tmp_path / "*.jpg"))


def test_videos_alone_are_told_to_be_parsed_one_by_one(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    loop = 'parse takes one a run: for v in *.mp4; do segface-edge parse "$v"'
    for source in (tmp_path, tmp_path / "*", tmp_path / "*.mp4"):
        with pytest.raises(DataError, match="holds 2 videos and no picture") as caught:
            find(str(source))
        assert caught.value.cure.startswith(loop)
    (tmp_path / "a.png").write_bytes(b"x")
    assert names(find(str(tmp_path))) == names(find(str(tmp_path / "*"))) == ["a.png"]


def test_a_photo_that_several_sources_name_is_parsed_once(
    tmp_path: Path, portrait: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(portrait.read_bytes())
    sources = [str(tmp_path / "b.jpg"), str(tmp_path), str(tmp_path / "*.jpg")]
    assert names(find_all(sources)) == ["b.jpg", "a.jpg"]
    assert caplog.messages == [f"{tmp_path / 'b.jpg'}: named more than once, 3 such in all: each photo is parsed once"]


def test_no_source_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="is empty"):
        find("")


def test_a_dash_reads_one_picture_from_standard_input(portrait: Path) -> None:
    content = portrait.read_bytes()
    (source,) = find("-", io.BytesIO(content))
    assert source == Source("standard input", content)
    assert reading.load(source.photo).shape == (512, 512, 3)


def test_a_dash_without_standard_input_is_refused() -> None:
    with pytest.raises(DataError, match="standard input"):
        find("-")


def test_endless_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "_MAX_STDIN", 100)
    assert len(find("-", io.BytesIO(b"x" * 100))) == 1
    with pytest.raises(DataError, match="over 100 bytes"):
        find("-", io.BytesIO(b"x" * 101))


def test_a_folder_and_what_is_below_it(tmp_path: Path) -> None:
    for name in ("b.png", "a/x.jpg", "a/deep/y.webp", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [str(one.below) for one in find(str(tmp_path))] == ["b.png"]
    found = find(str(tmp_path), recursive=True)
    assert [str(one.below) for one in found] == ["a/deep/y.webp", "a/x.jpg", "b.png"]
    assert all(one.photo == tmp_path / one.below for one in found if one.below)


def test_a_list_names_photos_in_its_order(tmp_path: Path) -> None:
    paths = tmp_path / "list.txt"
    paths.write_text(f"# mine\nz.jpg\n\n  sub/a.png  \n{tmp_path}/b.png\n")
    assert [one.photo for one in find(str(paths))] == [tmp_path / "z.jpg", tmp_path / "sub/a.png", tmp_path / "b.png"]
    paths.write_text("# nothing\n")
    with pytest.raises(DataError, match="names no picture"):
        find(str(paths))
    paths.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no list of paths"):
        find(str(paths))
