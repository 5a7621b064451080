"""Who imports whom, read from the sources: `python docs/rooms.py` draws it anew in `docs/layout.md`.

Needs nothing but Python. The test of the arrows reads the same imports and compares the drawing with what it would be.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "segface_edge"
ROOT = Path(__file__).parent.parent
LAYOUT = ROOT / "docs" / "layout.md"
CORE = ("cache", "documents", "errors", "extras", "files", "labels", "memory", "quiet", "spec")
# Where modules that stand above are named, to be imported when they are asked for: no imports.
NAMED = {"segface_edge.engines": "ENGINES", "segface_edge.parsing.pretrained": "EXPORTER"}
BEGIN, END = "<!-- drawn by docs/rooms.py -->\n", "<!-- drawn -->\n"


def room(module: str) -> str:
    """The room that a module of the package belongs to: `segface_edge.cli.parse` -> cli."""
    name = [*module.split("."), ""][1]
    if name == "__main__":  # the command line by another name
        return "cli"
    return "core" if name in (*CORE, "", "__version__") else name


def table(layout: str) -> dict[str, set[str]]:
    """Room -> the rooms that it may import besides itself, from the layout document's table."""
    rows = layout.partition("| room | what it is | imports |\n|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {name.strip("`"): set(imported.split()) for name, _, imported in cells}


def sources(root: Path = ROOT) -> Iterator[tuple[str, str, bool]]:
    """(module, source, whether it is a package) of every file of the package."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        names = path.relative_to(root).with_suffix("").parts
        is_package = names[-1] == "__init__"
        yield ".".join(names[:-1] if is_package else names), path.read_text(encoding="utf-8"), is_package


def imports(source: str, module: str, *, is_package: bool, rooms: frozenset[str] = frozenset()) -> list[str]:
    """Absolute names of everything that a source imports, in functions too; not what is for type checkers only.

    A module of one of `rooms` that is named in a string, for `import_module`, counts as imported, but for `NAMED`.
    """
    found: list[str] = []

    class Visitor(ast.NodeVisitor):
        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_Assign(self, node: ast.Assign) -> None:
            if [target.id for target in node.targets if isinstance(target, ast.Name)] != [NAMED.get(module)]:
                self.generic_visit(node)

        def visit_Constant(self, node: ast.Constant) -> None:
            named = isinstance(node.value, str) and re.fullmatch(
                PACKAGE + r"\.([a-z_]+)(\.[a-z_]+)*(:\w+)?", node.value
            )
            if named and named[1] in rooms:
                found.append(node.value.partition(":")[0])

        def visit_Import(self, node: ast.Import) -> None:
            found.extend(alias.name for alias in node.names)

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            base = module.split(".") if is_package else module.split(".")[:-1]
            base = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from segface_edge import zoo` imports the module segface_edge.zoo.
            found.extend([f"{origin}.{alias.name}" for alias in node.names] if origin == PACKAGE else [origin])

    Visitor().visit(ast.parse(source))
    return found


def arrows(rooms: frozenset[str]) -> dict[str, set[str]]:
    """Room -> the rooms that its modules import, itself left out."""
    drawn: dict[str, set[str]] = {}
    for module, text, is_package in sources():
        names = imports(text, module, is_package=is_package, rooms=rooms)
        inside = {room(name) for name in names if name.partition(".")[0] == PACKAGE}
        drawn.setdefault(room(module), set()).update(inside - {room(module)})
    return drawn


def drawing() -> str:
    """The arrows as a Mermaid diagram; those that follow from others are left out."""
    rooms = list(table(LAYOUT.read_text(encoding="utf-8")))
    found = arrows(frozenset(rooms))

    def reached(start: str) -> set[str]:
        return found[start].union(*(reached(name) for name in found[start]))

    lines = ["```mermaid", "flowchart BT"]
    for name in sorted(found, key=rooms.index):
        direct = found[name] - set().union(*(reached(other) for other in found[name]))
        lines += [f"    {name} --> {other}" for other in sorted(direct, key=rooms.index)]
    return "\n".join([*lines, "```"]) + "\n"


def drawn_anew(layout: str) -> str:
    """The layout document with its diagram as it should be."""
    before, _, rest = layout.partition(BEGIN)
    return before + BEGIN + drawing() + END + rest.partition(END)[2]


if __name__ == "__main__":
    LAYOUT.write_text(drawn_anew(LAYOUT.read_text(encoding="utf-8")), encoding="utf-8")
