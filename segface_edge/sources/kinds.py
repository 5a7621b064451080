"""Whether a source is a video or photos: by what is in a file, its name where that leaves it open."""

from __future__ import annotations

from pathlib import Path

from segface_edge.pictures.address import is_address, is_picture

# What a name that is not there, or a file that cannot be read, is taken for a video by. Others are opened to find out.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".wmv", ".asf", ".flv", ".f4v"),
    *(".mpg", ".mpeg", ".m2v", ".vob", ".mod", ".ts", ".mts", ".m2ts", ".ogv", ".mxf", ".dv", ".mjpeg", ".mjpg"),
    *(".h264", ".264", ".h265", ".265", ".hevc", ".ivf", ".y4m"),
)
_LISTS = (".txt",)
# JPEGs one after another begin as one does.
_MOTION_JPEG = (".mjpeg", ".mjpg")
_HEAD = 32
# How files of pictures begin; those in MP4's boxes say what they are from the ninth byte on.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"8BPS")
_BOXED_PICTURES = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx", b"avif", b"avis")
_NETWORK = ("rtsp://", "rtsps://", "rtmp://", "rtmps://", "udp://", "rtp://", "srt://")


def is_network(source: str) -> bool:
    """Whether a source is an address."""
    return is_address(source) or (source.lower().startswith(_NETWORK) and not Path(source).exists())


def is_live(source: str) -> bool:
    """Whether a source is a camera's index, an address or a GStreamer pipeline, none of them a file's name."""
    if not is_address(source) and Path(source).exists():  # a folder may be called 2024, and a photo party!.jpg
        return False
    return source.isdecimal() or is_network(source) or "!" in source


def is_video(source: str, *, animations: bool = False) -> bool:
    """Whether a source is a video: a file, a camera's index, an address or a GStreamer pipeline.

    Args:
        source: as `segface-edge parse` takes it.
        animations: take pictures that move (GIF, WebP, APNG) for videos, not for photos.
    """
    if is_address(source):
        return not is_picture(source)
    path = Path(source)
    if path.is_file():
        return _file_is_video(path, animations=animations)
    if path.exists():
        return False
    return is_live(source) or path.suffix.lower() in VIDEO_SUFFIXES


# The cure where several videos are given at once.
ONE_BY_ONE = 'parse takes one a run: for v in *.mp4; do segface-edge parse "$v" -o "${v%.*}-overlay.mp4"; done'


def _file_is_video(path: Path, *, animations: bool) -> bool:
    suffix = path.suffix.lower()
    if suffix in _LISTS:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return suffix in VIDEO_SUFFIXES
    if _is_picture(head) and suffix not in _MOTION_JPEG:
        from .animation import is_animation

        return animations and is_animation(str(path))
    return suffix in VIDEO_SUFFIXES or (bool(head) and _opens(path))


def _is_picture(head: bytes) -> bool:
    boxed = head[4:8] == b"ftyp" and head[8:12] in _BOXED_PICTURES
    return boxed or head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def _opens(path: Path) -> bool:
    from .containers import open_container, pictures_of

    try:
        with open_container(str(path)) as container:
            return pictures_of(container) is not None
    except Exception:  # whatever else it is, it is no video
        return False
