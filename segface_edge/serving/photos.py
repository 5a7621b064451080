"""The pictures of a request: its body, or the files of a form; and what is said of those that cannot be read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from segface_edge.errors import ImageError, PictureSizeError
from segface_edge.parsing.stages import Stages, Work

from .answers import Refused

# Files of a form: their answers are kept until the last is there.
MOST = 64
# What bodies may be called that are pictures all the same: by nothing, or by what curl calls any data.
_ANY = ("", "application/octet-stream", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Photo:
    """A picture as it came.

    Attributes:
        name: of its file, as the client calls it; `picture` where it says nothing.
        content: the file's bytes.
    """

    name: str
    content: bytes


def taken(stages: Stages, photo: Photo) -> Work:
    """A picture that is read, its errors in a caller's terms: who sends it has no options of the server's.

    Raises:
        ImageError: it cannot be read; names the client's file.
    """
    try:
        return stages.take(photo.content)
    except PictureSizeError as error:
        cure = f"send a smaller picture, of at most {stages.max_pixels} pixels"
        raise PictureSizeError(photo.name, error.problem, cure) from error
    except ImageError as error:
        raise type(error)(photo.name, error.problem, error.cure) from error


class _Form(MultiPartParser):
    """Starlette's, which takes a form that is cut off for a shorter one; this one tells."""

    # The body is in memory, and no longer than that may be: there is no need of files.
    spool_max_size = 2**31
    ended = False

    def on_end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Of all files, also of one without an end."""
        for file in self._files_to_close_on_error:
            file.close()


def check_kind(headers: Headers) -> str:
    """The body's media type.

    Raises:
        Refused: 415 where it is none of pictures, or the body is compressed.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    check_plain(headers)
    if kind not in (*_ANY, "multipart/form-data") and not kind.startswith("image/"):
        raise Refused(415, f"the body is {kind!r}; send a picture (image/jpeg …) or files as multipart/form-data")
    return kind


def check_plain(headers: Headers) -> None:
    """Raises Refused with 415 where the body is compressed."""
    if headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise Refused(415, "bodies are not decompressed here; send it as it is, without Content-Encoding")


async def photos_of(body: bytes, headers: Headers) -> list[Photo]:
    """The pictures of a body.

    Raises:
        Refused: 400 where a form is broken, or holds no files or too many; 415 as `check_kind`.
    """
    if check_kind(headers) != "multipart/form-data":
        return [Photo("picture", body)]

    async def whole() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _Form(headers, whole(), max_files=MOST, max_fields=MOST)
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        raise Refused(400, f"the form cannot be read: {getattr(error, 'message', error)}") from error
    found = [
        Photo(value.filename or "picture", await value.read())
        for _, value in form.multi_items()
        if isinstance(value, UploadFile)
    ]
    parser.close()
    if not parser.ended:
        raise Refused(400, "the form is cut off")
    if not found:
        raise Refused(400, "the form holds no file; send each picture as a file: -F file=@photo.jpg")
    return found
