"""Which OpenCV is here, and what mends it. Its packages share the module `cv2`: each overwrites what the others put
there, and takes it along when it is uninstalled."""

from __future__ import annotations

import re

from segface_edge.bench.machine import package_version

PACKAGES = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
# What a build may have -> what people call it.
_PARTS = {"GUI": "windows", "GStreamer": "GStreamer"}


def installed() -> list[str]:
    """The packages of OpenCV that are installed; none where the system has its own, as JetPack."""
    return [name for name in PACKAGES if package_version(name)]


def state() -> tuple[str, str]:
    """The version of `cv2`, or what is wrong with it; and what mends that, empty where it is whole."""
    try:
        import cv2

        parts = (f"{'with' if built_with(key) else 'no'} {what}" for key, what in _PARTS.items())
        return ", ".join([str(cv2.__version__), *parts]), ""
    except ImportError as error:
        return f"cannot be imported: {error}".splitlines()[0], cure_of(error)
    except AttributeError:  # a folder is left, and nothing in it
        return "is not whole: another package of OpenCV was uninstalled", cure()


def built_with(key: str) -> bool:
    """Whether this OpenCV was built with a part, `GUI` (windows) or `GStreamer`, as its account of itself says."""
    import cv2

    found = re.search(rf"\b{key}:\s*(\S+)", cv2.getBuildInformation())
    return found is not None and found[1] not in ("NO", "NONE")


def cure_of(error: ImportError) -> str:
    """The command that mends an OpenCV that cannot be imported."""
    return "pip install 'numpy<2'" if "multiarray" in f"{error}" else f"{cure()} (a Jetson: JetPack has it)"


def cure(*, windows: bool = False) -> str:
    """The command that leaves one whole OpenCV: the one that is not ours where there are several.

    Args:
        windows: one that can show pictures.
    """
    here = installed()
    wanted = here[-1] if here else PACKAGES[0]
    if windows:
        wanted = wanted.removesuffix("-headless")
    # Uninstalling one takes files of the others along: all go before one comes.
    return (f"pip uninstall -y {' '.join(here)} && " if here else "") + f"pip install {wanted}"
