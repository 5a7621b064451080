"""Which OpenCV is here, and what mends it. Its packages share the module `cv2`: each overwrites what the others put
there, and takes it along when it is uninstalled."""

from __future__ import annotations

import re

from segface_edge.bench.machine import package_version

PACKAGES = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")


def installed() -> list[str]:
    """The packages of OpenCV that are installed; none where the system has its own, as JetPack."""
    return [name for name in PACKAGES if package_version(name)]


def state() -> tuple[str, str]:
    """The version of `cv2`, or what is wrong with it; and what mends that, empty where it is whole."""
    try:
        import cv2

        built = cv2.getBuildInformation()
        return f"{cv2.__version__}, {_has(built, 'GUI', 'windows')}, {_has(built, 'GStreamer', 'GStreamer')}", ""
    except ImportError as error:
        return f"cannot be imported: {error}".splitlines()[0], cure_of(error)
    except AttributeError:  # a folder is left, and nothing in it
        return "is not whole: another package of OpenCV was uninstalled", cure()


def _has(built: str, key: str, what: str) -> str:
    absent = re.search(rf"{key}:\s*(NO|NONE)\b", built) is not None or f"{key}:" not in built
    return f"{'no' if absent else 'with'} {what}"


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
