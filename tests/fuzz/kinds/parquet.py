"""Parquet: files of photos that `label` reads, parts that it goes on from, its manifest."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pyarrow as pa
from pyarrow import parquet

from segface_edge.labelling.loading import load
from segface_edge.labelling.manifest import agree
from segface_edge.labelling.parts import MANIFEST, Parts
from segface_edge.labelling.photos import find
from segface_edge.labelling.places import Places
from segface_edge.labels import LABEL_SETS
from tests.fuzz.mutate import changed_bytes, changed_json

from .pictures import portrait, saved

_WHAT = {"model_sha256": "0" * 64, "locate": "whole", "look": 1280, "max_faces": None, "min_face": 0.0}


def _table(columns: dict[str, object], **options: object) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink, **options)
    content: bytes = sink.getvalue().to_pybytes()
    return content


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:  # noqa: ARG002
        photo = saved(portrait((20, 20)), "JPEG")
        self.folder = folder
        self.labels = LABEL_SETS["segface"]
        struct = pa.array([{"bytes": photo, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}])
        self.tables = [
            _table({"bytes": [photo, None], "path": ["a.jpg", "b.jpg"]}, compression="none"),
            _table({"image": struct}, compression="zstd"),
            _table({"path": pa.array(["a.jpg", None, "x/../y.png"])}, compression="snappy"),
            _table({"path": pa.array(["a.jpg"]).dictionary_encode(), "bytes": pa.array([photo], pa.large_binary())}),
            _table({"path": ["a.jpg", "b.jpg"], "error": [None, "is damaged"]}),
            _table({"path": [1, 2], "image": [1, 2]}),
            _table({"path": pa.array([], pa.string())}),
        ]
        self.manifest = {
            "version": 1,
            "written_by": "segface-edge 0.1.0",
            **_WHAT,
            "label_order": self.labels.name,
            "classes": list(self.labels.classes),
        }
        out = folder / "out"
        out.mkdir()
        (out / "part-000000.parquet").touch()

    def make(self, random: Random) -> tuple[str, bytes]:
        if random.random() < 0.4:
            return MANIFEST, changed_json(random, self.manifest).encode(errors="surrogateescape")
        content = random.choice(self.tables)
        changed = changed_bytes(random, content, self.tables) if random.random() < 0.95 else content
        if random.random() < 0.7 and len(content) == len(changed):
            return "x.parquet", changed
        # Its end says where everything is.
        return "x.parquet", changed[:-8] + content[-8:] if random.random() < 0.5 else changed

    def run(self, given: tuple[str, bytes]) -> None:
        name, content = given
        places = Places()
        out = self.folder / "out"
        if name == MANIFEST:
            (out / MANIFEST).write_bytes(content)
            agree(Parts(str(out), places, rows=10), str(out), dict(_WHAT), self.labels)
            return
        (out / "part-000000.parquet").write_bytes(content)
        path = self.folder / name
        path.write_bytes(content)
        try:
            Parts(str(out), places, rows=10).done()
        finally:
            for loaded in load(find(str(path), places).photos, places):
                assert loaded.error is None or loaded.error.cure
