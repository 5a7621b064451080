"""Everything of a release up to the upload: `make release`.

Of the commit that is checked out, not of what lies beside it: a wheel (built twice, equal bytes), a source
distribution, a bill of materials, licences, and hashes (`MODELS.SHA256SUMS`: of what travels in the wheel, checked
from the folder that it is installed in). Packages come by pip; nothing is sent anywhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from bill import bill_of_materials
from contents import check_sdist, check_wheel

from segface_edge import __version__, zoo
from segface_edge.files import sha256_of, write_whole

ROOT = Path(__file__).parent.parent
ZOO = Path(zoo.__file__).parent
TRAVELLING = sorted(path for path in ZOO.iterdir() if path.suffix in (".onnx", ".safetensors", ".png", ".jpg"))


@click.command()
@click.option("-o", "--out", default=ROOT / "dist", type=click.Path(path_type=Path), help="Where to; must be empty.")
def release(out: Path) -> None:
    """Build and check what would be uploaded."""
    if _git("status", "--porcelain"):
        raise click.ClickException("there are changes that no commit has: a release is of a commit")
    if out.exists() and any(out.iterdir()):
        raise click.ClickException(f"{out} is not empty: remove what an older release left there")
    out.mkdir(parents=True, exist_ok=True)
    epoch = _git("log", "-1", "--format=%ct")
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        for number in (1, 2):
            _tree(place / f"tree{number}")
        built = _build(place / "tree1", out, epoch, "--wheel", "--sdist")
        (again,) = _build(place / "tree2", place / "again", epoch, "--wheel")
        wheel, sdist = (next(path for path in built if path.name.endswith(end)) for end in (".whl", ".tar.gz"))
        if wheel.read_bytes() != again.read_bytes():
            raise click.ClickException(f"two builds of {wheel.name} differ: {_differences(wheel, again)}")
        click.echo(f"built twice, equal bytes: {wheel.name}")
        tracked = _git("ls-files").splitlines()
        for found, checked in ((check_wheel(wheel, tracked), wheel), (check_sdist(sdist, tracked), sdist)):
            if found:
                raise click.ClickException(f"{checked.name}: " + "; ".join(found))
            click.echo(f"{checked.name}: {checked.stat().st_size / 1e6:.1f} MB, holds what it should and nothing else")
        _run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
        python = _installed(wheel, place / "environment")
        _run(python.with_name("segface-edge"), "parse", zoo.PORTRAIT, "-o", place / "overlay.png", cwd=place)
        click.echo("installed in an environment of its own: parses the portrait")
        document = bill_of_materials(python, place / "tree1" / "pyproject.toml", TRAVELLING, epoch)
    stem = wheel.name.partition("-py3")[0]
    write_whole(out / f"{stem}.cdx.json", document.encode())
    write_whole(out / f"{stem}-licences.md", (ROOT / "docs" / "licences.md").read_bytes())
    write_whole(out / "MODELS.SHA256SUMS", _sums(TRAVELLING, ZOO.parent.parent).encode())
    write_whole(out / "SHA256SUMS", _sums(sorted(out.iterdir()), out).encode())
    click.echo(f"{out}: " + ", ".join(sorted(path.name for path in out.iterdir())))
    click.echo(f"segface-edge {__version__} can be uploaded: twine upload {wheel} {sdist}")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _run(*arguments: object, cwd: Path = ROOT, **environment: str) -> None:
    """A program that must succeed; what it says is shown where it does not."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env=kept | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise click.ClickException(f"{' '.join(map(str, arguments))}\n{done.stdout}")


def _tree(folder: Path) -> None:
    """The commit's files, with the permissions that git keeps: those of a checkout follow the umask."""
    folder.mkdir()
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    subprocess.run(["tar", "-x", "--no-same-owner", "-p"], cwd=folder, input=packed, check=True)


def _build(tree: Path, out: Path, epoch: str, *what: str) -> list[Path]:
    """What is built of a tree, in an environment of its own, with the pinned setuptools."""
    _run(
        *(sys.executable, "-m", "build", *what, "--outdir", out),
        cwd=tree,
        SOURCE_DATE_EPOCH=epoch,
        PIP_CONSTRAINT=str(ROOT / "constraints.txt"),
    )
    return sorted(out.iterdir())


def _installed(wheel: Path, folder: Path) -> Path:
    """The Python of a fresh environment with the wheel and what it asks for."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    _run(python, "-m", "pip", "check")
    return python


def _differences(one: Path, other: Path) -> str:
    """Which files of two wheels differ, in bytes or in what the archive says of them."""

    def entries(path: Path) -> Iterator[tuple[str, tuple[object, ...]]]:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                yield entry.filename, (entry.CRC, entry.date_time, entry.external_attr)

    first, second = dict(entries(one)), dict(entries(other))
    names: Iterable[str] = (name for name in {**first, **second} if first.get(name) != second.get(name))
    return ", ".join(sorted(names)[:5]) or "their files are equal, the archives are not"


def _sums(paths: Sequence[Path], root: Path) -> str:
    """As `sha256sum --check` reads it, from `root`."""
    return "".join(f"{sha256_of(path)}  {path.relative_to(root)}\n" for path in paths)


if __name__ == "__main__":
    release()
