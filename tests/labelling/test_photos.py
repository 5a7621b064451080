"""Where photos and results may be: folders, globs, lists, Parquet files of paths or of bytes, other filesystems."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segface_edge import zoo

pa = pytest.importorskip("pyarrow", reason="label needs pyarrow")
fs = pytest.importorskip("pyarrow.fs")
pq = pytest.importorskip("pyarrow.parquet")

from segface_edge.errors import DataError
from segface_edge.labelling import loading, photos
from segface_edge.labelling.loading import load
from segface_edge.labelling.parts import Parts
from segface_edge.labelling.photos import Photos, find
from segface_edge.labelling.places import Places

Cli = Callable[..., Any]
MakePhotos = Callable[..., Path]


def names(source: object, **options: Any) -> list[str]:
    return [name for photos in find(str(source), Places((str(source),)), **options).photos for name in photos.names]


def contents(source: object) -> dict[str, bytes]:
    places = Places((str(source),))
    return {one.name: one.content for one in load(find(str(source), places).photos, places)}


def test_folders_globs_and_lists(make_photos: MakePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = make_photos("photos", 3)
    (photos / "deep").mkdir()
    (photos / "0002.jpg").rename(photos / "deep" / "0002.jpg")
    (photos / "notes.md").write_text("no picture")
    flat = [f"{photos}/0000.jpg", f"{photos}/0001.jpg"]
    monkeypatch.chdir(tmp_path)
    assert names("photos") == names(photos) == names(f"file://{photos}") == flat
    assert names(photos, recursive=True) == [*flat, f"{photos}/deep/0002.jpg"]
    assert names("photos/*.jpg") == flat
    assert names("photos/0001.jpg") == flat[1:]
    (tmp_path / "list.txt").write_text("photos/deep/../0001.jpg\nhttps://example.com/a.jpg\ns3://bucket/a b%20.jpg\n")
    assert names("list.txt") == [flat[1], "https://example.com/a.jpg", "s3://bucket/a b%20.jpg"]


def test_several_sources_are_one_list(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = [str(path) for path in sorted(make_photos("photos", 3).iterdir())]
    pq.write_table(pa.table({"path": photos[1:]}), tmp_path / "paths.parquet")
    places = Places()
    found = find([photos[2], f"{tmp_path}/photos/0000.*", str(tmp_path / "paths.parquet")], places)
    assert [name for some in found.photos for name in some.names] == [photos[2], photos[0], photos[1]]
    assert (found.duplicates, found.example) == (1, photos[2])
    with pytest.raises(DataError, match=r"absent\.jpg: no such file"):
        find([photos[0], str(tmp_path / "absent.jpg")], places)


def test_parquet_files_of_paths(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = make_photos("photos", 4)
    wanted = {str(path): path.read_bytes() for path in sorted(photos.iterdir())}
    relative = [f"photos/{Path(name).name}" for name in wanted]
    pq.write_table(pa.table({"path": [*relative, None]}), tmp_path / "paths.parquet", row_group_size=2)
    assert contents(tmp_path / "paths.parquet") == wanted
    pq.write_table(pa.table({"path": [*wanted], "id": range(4)}), tmp_path / "paths.parquet")
    assert contents(tmp_path / "paths.parquet") == wanted


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_parquet_files_of_bytes(make_photos: MakePhotos, tmp_path: Path, kind: str) -> None:
    photos = [path.read_bytes() for path in sorted(make_photos("photos", 5).iterdir())]
    column = pa.array([*photos, None], getattr(pa, kind)())
    for index in range(2):
        table = pa.table({"bytes": column.slice(3 * index, 3)})
        pq.write_table(table, tmp_path / f"{index}.parquet", row_group_size=2)
    pattern = f"{tmp_path}/?.parquet"
    order = [f"{tmp_path}/{index}.parquet#{row}" for index in range(2) for row in range(3)]
    assert names(pattern) == order
    assert contents(pattern) == dict(zip(order, [*photos, b""], strict=True))
    places = Places()
    (*_, last) = load(find(pattern, places).photos, places)
    assert "has no bytes in its row" in str(last.error)
    some = Photos((order[1],), f"{tmp_path}/0.parquet", 0, (1,))  # as a run that goes on has it
    assert [one.content for one in load([some], places)] == [photos[1]]


def test_parquet_files_as_hugging_face_s_datasets_write_them(make_photos: MakePhotos, tmp_path: Path) -> None:
    photos = [path.read_bytes() for path in sorted(make_photos("photos", 3).iterdir())]
    image = [{"bytes": content, "path": path} for content, path in zip(photos, ("a.jpg", None, "c.jpg"), strict=True)]
    pq.write_table(pa.table({"image": image, "label": [0, 1, 2]}), tmp_path / "train.parquet")
    assert contents(tmp_path / "train.parquet") == dict(
        zip((f"{tmp_path}/train.parquet#{row}" for row in ("0/a.jpg", "1", "2/c.jpg")), photos, strict=True)
    )
    pq.write_table(pa.table({"image": image, "path": ["x", "y", "z"]}), tmp_path / "train.parquet")
    assert contents(tmp_path / "train.parquet") == dict(zip("xyz", photos, strict=True))


def test_a_parquet_file_of_bytes_is_labelled_and_gone_on_with(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    photos = [path.read_bytes() for path in sorted(make_photos("photos", 7, bad=1).iterdir())]
    table = pa.table({"bytes": photos, "path": [f"photo {index}" for index in range(7)]})
    for rows, labelled in ((4, 4), (7, 3)):
        pq.write_table(table.slice(0, rows), tmp_path / "some.parquet", row_group_size=3)
        arguments = ("--model", tiny, "--locate", "whole", "--json", "-")
        result = cli("label", tmp_path / "some.parquet", "-o", tmp_path / "out", *arguments)
        assert json.loads(result.out)["labelled"] == labelled
    found = pa.concat_tables(pq.read_table(path) for path in sorted((tmp_path / "out").glob("*.parquet")))
    assert found.column("path").to_pylist() == [f"photo {index}" for index in range(7)]
    assert [error is None for error in found.column("error").to_pylist()] == [True] * 6 + [False]


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"id": [1, 2]}, "has no photos in its columns id; give it a column 'path' of text, 'bytes' of binary"),
        ({"path": [1, 2]}, "has no photos in its columns path"),
        ({"path": pa.array([None, None], pa.string())}, "names no picture"),
    ],
)
def test_parquet_files_without_photos(tmp_path: Path, columns: dict[str, Any], problem: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "some.parquet")
    with pytest.raises(DataError, match=problem):
        names(tmp_path / "some.parquet")


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_a_parquet_file_that_has_fewer_rows_than_it_says(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"path": ["a.jpg", "b.jpg"]} | ({"bytes": [b"a", b"b"]} if kind == "bytes" else {})
    pq.write_table(pa.table(columns), tmp_path / "some.parquet")
    monkeypatch.setattr(photos, "_paths", lambda *_: ["a.jpg"])
    with pytest.raises(DataError, match=r"some\.parquet: says 2 rows and has 1; write it again"):
        names(tmp_path / "some.parquet")


def test_files_that_are_no_parquet_files(tmp_path: Path) -> None:
    (tmp_path / "some.parquet").write_text("text")
    with pytest.raises(DataError, match="is no Parquet file"):
        names(tmp_path / "some.parquet")
    for source, problem in (("absent.parquet", "no such file"), ("-", "is no file"), ("", "is no file")):
        with pytest.raises(DataError, match=problem):
            names(source)


def test_a_file_that_is_too_large_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MOST_BYTES", 2**20)
    (tmp_path / "large.jpg").write_bytes(bytes(2**20 + 1))
    (one,) = load([Photos((f"{tmp_path}/large.jpg",))], Places())
    assert "has over 1 MiB" in str(one.error)


@pytest.fixture
def memory(make_photos: MakePhotos) -> str:
    """A folder of three photos in a filesystem that is none of this machine's, reached as s3:// is."""
    fsspec = pytest.importorskip("fsspec", reason="a filesystem in memory comes with fsspec")
    store = fsspec.filesystem("memory")
    store.store.clear()
    for path in make_photos("photos", 3).iterdir():
        store.pipe(f"/photos/{path.name}", path.read_bytes())
    store.pipe("/photos/deep/a b.jpg", zoo.PORTRAIT.read_bytes())
    store.pipe("/photos/notes.md", b"no picture")
    return "fsspec+memory:///photos"


def test_other_filesystems_are_listed_as_folders_are(memory: str) -> None:
    flat = [f"{memory}/000{index}.jpg" for index in range(3)]
    assert names(memory) == names(f"{memory}/*.jpg") == names(f"{memory}/000?.jpg") == flat
    assert names(memory, recursive=True) == [*flat, f"{memory}/deep/a b.jpg"]
    assert names(f"{memory}/*/*.jpg") == [f"{memory}/deep/a b.jpg"]
    assert names(f"{memory}/0001.jpg") == flat[1:2]
    assert contents(f"{memory}/deep/a b.jpg") == {f"{memory}/deep/a b.jpg": zoo.PORTRAIT.read_bytes()}
    for source, problem in (("/absent", "no such file"), ("/*.png", "matches no file")):
        with pytest.raises(DataError, match=problem):
            names(f"{memory}{source}")
    with pytest.raises(DataError, match="is on no filesystem that can be opened"):
        names("nonsense://bucket/a.jpg")


def test_lists_and_parquet_files_on_other_filesystems(memory: str, tmp_path: Path) -> None:
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/photos/list.txt", f"0001.jpg\n{tmp_path}/here.jpg\n".encode())
    pq.write_table(pa.table({"path": ["0002.jpg"]}), tmp_path / "paths.parquet")
    store.pipe("/photos/paths.parquet", (tmp_path / "paths.parquet").read_bytes())
    assert names(f"{memory}/list.txt") == [f"{memory}/0001.jpg", f"{tmp_path}/here.jpg"]
    assert names(f"{memory}/paths.parquet") == names(f"{memory}/*.parquet") == [f"{memory}/0002.jpg"]


def test_results_go_to_other_filesystems_and_are_gone_on_with(memory: str, cli: Cli, tiny: Path) -> None:
    out = "fsspec+memory:///out"
    arguments = ("-o", out, "--model", tiny, "--locate", "whole", "--part-rows", 2, "--json", "-")
    for source, labelled in ((f"{memory}/0001.jpg", 1), (memory, 2), (memory, 0)):
        result = cli("label", source, *arguments)
        assert result.code == 0, result.err
        assert json.loads(result.out)["labelled"] == labelled
    files, path = fs.FileSystem.from_uri(out)
    found = sorted(Path(one.path).name for one in files.get_file_info(fs.FileSelector(path)))
    assert found == ["manifest.json", "part-000000.parquet", "part-000001.parquet"]
    table = pq.read_table(f"{path}/part-000001.parquet", filesystem=files)
    assert table.column("path").to_pylist() == [f"{memory}/0000.jpg", f"{memory}/0002.jpg"]
    result = cli("label", memory, *arguments, "--max-faces", 1)
    assert result.code == 2
    assert f"error: {out}: was begun with another --max-faces" in result.err


def test_photos_that_are_gone_from_another_filesystem_are_rows(
    memory: str, cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.txt").write_text(f"{memory}/0001.jpg\n{memory}/gone.jpg\n")
    result = cli("label", tmp_path / "list.txt", "-o", tmp_path / "out", "--model", tiny, "--locate", "whole")
    assert result.code == 0
    rows = pq.read_table(tmp_path / "out" / "part-000000.parquet").to_pylist()
    assert [row["error"] is None for row in rows] == [True, False]
    assert rows[1]["error"].startswith(f"{memory}/gone.jpg: no such file")


def test_what_is_asked_of_a_filesystem_and_keys_are_no_part_of_names() -> None:
    places = Places(("s3://key:secret@bucket/photos?region=eu-west-1",))
    assert places.named("s3://key:secret@bucket/photos?region=eu-west-1") == "s3://bucket/photos"
    assert places.named("s3://bucket/photos//a/../b.jpg") == "s3://bucket/photos/b.jpg"
    files, path = places.of("s3://bucket/photos/b?.jpg")
    assert (files.type_name, files.region, path) == ("s3", "eu-west-1", "bucket/photos/b?.jpg")
    assert places.inside("s3://bucket/photos", "bucket/photos/a.jpg") == "s3://bucket/photos/a.jpg"


def test_pictures_are_as_upright_as_the_parser_s(cli: Cli, tiny: Path, tmp_path: Path) -> None:
    with Image.open(zoo.PORTRAIT) as picture:
        exif = picture.getexif()
        exif[0x0112] = 6
        picture.resize((80, 64)).save(tmp_path / "turned.jpg", exif=exif)
    assert cli("label", tmp_path / "turned.jpg", "-o", tmp_path / "out", "--model", tiny, "--locate", "whole").code == 0
    (row,) = pq.read_table(tmp_path / "out" / "part-000000.parquet").to_pylist()
    assert (row["width"], row["height"]) == (64, 80)


def test_paths_of_a_parquet_file_that_are_no_text(tmp_path: Path) -> None:
    content = pa.array([b"\xff\xfe.jpg"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"path": content}), tmp_path / "paths.parquet")
    with pytest.raises(DataError, match=r"paths\.parquet: is no Parquet file"):
        find(str(tmp_path / "paths.parquet"), Places())
    (tmp_path / "out").mkdir()
    (tmp_path / "paths.parquet").rename(tmp_path / "out" / "part-000000.parquet")
    with pytest.raises(DataError, match=r"part-000000\.parquet: is no part"):
        Parts(str(tmp_path / "out"), Places(), rows=1).done()
