"""Measure how the house is built: ``python docs/measure_house.py [ROOT]``.

Prints of the package in ROOT/src (default: this checkout) the number of files in the largest folders, and of
lines of code without docstrings, comments and blank lines. Then circles of files, imports against the arrow,
and names of classes that occur twice. Any checkout can be measured by the rules of this one
(``tests/test_architecture.py``), so that two trees can be compared.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
LARGEST = 5
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> int:
    """Lines with code on them: no docstrings, comments or blank lines."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def show(title: str, found: list[str]) -> None:
    """Print how many there are, then each."""
    print(f"{title:26}{len(found)}")
    for line in found:
        print(f"    {line}")


def main(source: Path) -> None:
    """Print what is measured of a package."""
    sys.path.insert(0, str(HERE / "tests"))
    from test_architecture import circles, dotted, violations

    files = {path: path.read_text(encoding="utf-8") for path in sorted(source.rglob("*.py"))}
    folders = Counter(str(path.parent.relative_to(source)) for path in files if path.name != "__init__.py")
    classes: dict[str, list[str]] = defaultdict(list)
    for path, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(dotted(path, source))
    print(f"{'files':26}{len(files)}")
    largest = ", ".join(f"{name} {count}" for name, count in folders.most_common(LARGEST))
    print(f"{'files in a folder':26}{largest}")
    print(f"{'lines of code':26}{sum(map(code_lines, files.values()))}")
    show("circles of files", [", ".join(circle) for circle in circles(source)])
    show("imports against the arrow", [line for line in violations(source) if "against the arrow" in line])
    twice = {name: places for name, places in sorted(classes.items()) if len(places) > 1}
    show("names of classes twice", [f"{name}: {', '.join(places)}" for name, places in twice.items()])


if __name__ == "__main__":
    main((Path(sys.argv[1]) if len(sys.argv) > 1 else HERE) / "src" / "napari_unet")
