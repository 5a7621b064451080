"""Files by their names, wherever they are: a local path, or the URI of a filesystem that pyarrow opens."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from os.path import abspath

from pyarrow import ArrowException
from pyarrow.fs import FileSystem, LocalFileSystem

from segface_edge.errors import DataError
from segface_edge.pictures.address import is_address

_CURE = "check the name, and the credentials that its filesystem wants"
# What pyarrow raises of damaged files; ValueError where their text is none.
UNREADABLE = (OSError, ValueError, KeyError, ArrowException)
# What is asked of a filesystem, at the end of a URI; other question marks are a glob's or a name's.
_ASKED = re.compile(r"\?(\w+=[^/?]*)$")


def is_uri(name: str) -> bool:
    """Whether a name is a URI of a filesystem: s3://bucket/a.jpg. Addresses (https://) are not."""
    return "://" in name and not is_address(name)


class Places:
    """Filesystems, each opened once.

    What is asked of a filesystem (`s3://bucket/photos?region=eu-west-1`) is said once, in the URI of the source or the
    destination, and holds for every name that begins with `s3://bucket`. Names are as the filesystem has them, without
    escapes (%20).

    Args:
        uris: that say such things; other texts among them are left alone.
    """

    def __init__(self, uris: Iterable[str] = ()) -> None:
        self._local = LocalFileSystem()
        self._said: dict[str, str] = {}
        for uri in filter(is_uri, uris):
            scheme, _, rest = _ASKED.sub("", uri).partition("://")
            asked = _ASKED.search(uri)
            self._said[_parts(uri)[0]] = f"{scheme}://{rest.partition('/')[0]}/{asked[0] if asked else ''}"
        self._open: dict[str, tuple[FileSystem, str]] = {}

    def named(self, text: str) -> str:
        """The one name of a file or folder: an absolute path, an address, or a URI without what it asks for."""
        if is_address(text):
            return text
        if text.startswith("file://"):
            return abspath(text.removeprefix("file://"))  # noqa: PTH100 - links stay links
        if is_uri(text):
            root, below = _parts(_ASKED.sub("", text))
            below = posixpath.normpath(below) if below else ""
            return f"{root}/{below.strip('/')}"
        return abspath(text)  # noqa: PTH100

    def of(self, name: str) -> tuple[FileSystem, str]:
        """The filesystem of a name that `named` gave, and the path in it.

        Raises:
            DataError: pyarrow opens no such filesystem.
        """
        if not is_uri(name):
            return self._local, name
        root, below = _parts(name)
        if root not in self._open:
            try:
                self._open[root] = FileSystem.from_uri(self._said.get(root, f"{root}/"))
            except (OSError, ValueError, ImportError, ArrowException) as error:
                raise DataError(name, f"is on no filesystem that can be opened ({first_line(error)})", _CURE) from error
        files, top = self._open[root]
        return files, f"{top.rstrip('/')}/{below}".rstrip("/") or "/"

    def inside(self, folder: str, path: str) -> str:
        """The name of what the filesystem of `folder` calls `path`."""
        if not is_uri(folder):
            return path
        root, below = _parts(folder)[0], path.strip("/")
        self.of(folder)
        top = self._open[root][1].strip("/")
        return f"{root}/{below.removeprefix(f'{top}/') if top else below}"


def text_of(name: str) -> str:
    """A name as a result has it: bytes of a file's name that are no UTF-8 are written out (`\\udcff`)."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode("utf-8")


def first_line(error: BaseException) -> str:
    """What a library says of an error, without its detail."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].partition(". Detail: ")[0]


def _parts(uri: str) -> tuple[str, str]:
    """`s3://bucket` and the rest. A key and a secret have no place in names of photos."""
    scheme, _, rest = uri.partition("://")
    host, _, below = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}", below
