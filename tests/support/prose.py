"""Every text that a person can read: strings, docstrings and comments, pages, cards, templates."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIST = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+", re.MULTILINE)  # an item of a list is a paragraph
PARAMETER = re.compile(r"^[ \t]*[\w*, ]+ : .*$", re.MULTILINE)  # of numpydoc: name, type
RULE = re.compile(r"^[ \t]*\w*[ \t]*\n?[ \t]*-{3,}[ \t]*$", re.MULTILINE)  # of numpydoc: heading of a section
BLOCKS = re.compile(r"(\n[ \t]*\n|\n(?=[ \t]*(?:[|#]|[-*] |\d+\. )))")
STRINGS = {ast.Constant, ast.JoinedStr, ast.BinOp}
# A walk of our own over the syntax tree, as that of ast takes twice as long: these hold no texts.
NO_STRINGS = {ast.Name, ast.Load, ast.Store, ast.alias, ast.Import, ast.ImportFrom}
ENDS = re.compile(r"(?<=[.!?])[\"'*)\]]*\s+|\u2026\s+(?=[A-Z])")


class Text(NamedTuple):
    """A piece of text, and where it stands."""

    path: Path
    line: int
    text: str

    @property
    def is_prose(self) -> bool:
        """Whether these are words, not a name, a path or code."""
        return (
            bool(re.search(r"[A-Za-z]{2,}[,;:.]?\s+[A-Za-z]{2,}", self.text)) and "\nimport " not in self.text
        )

    def sentences(self) -> Iterator[str]:
        """Sentences, in one line each; code in backticks counts as one word."""
        text = re.sub(r"``[^`]*``|`[^`]*`", "CODE", self.text)
        text = LIST.sub("\n\n", RULE.sub("\n\n", PARAMETER.sub("\n\n", text)))
        for paragraph in re.split(r"\n\s*\n|\s\|\s|<br>", text):
            yield from ENDS.split(" ".join(paragraph.split()))


def length(sentence: str) -> int:
    """How many words it has; a formula, a shape or a link in brackets is one."""
    plain = re.sub(r"\]\([^()]*\)", "]", sentence)
    plain = re.sub(r"\((?:[^()\s]+,? ){0,7}[^()\s]*\)", lambda m: m[0] if is_words(m[0]) else "X", plain)
    return sum(bool(re.search(r"[A-Za-z]", word)) for word in plain.split())


def is_words(text: str) -> bool:
    """Whether a bracket holds words, not a shape such as (N, Y, X, C)."""
    return bool(re.search(r"[a-z]{3,}", text))


def in_python(path: Path) -> Iterator[Text]:
    """Strings, docstrings and comments."""
    source = path.read_text(encoding="utf-8")
    stack: list[object] = [ast.parse(source)]
    while stack:
        node = stack.pop()
        if type(node) is list:
            stack += node
        elif type(node) in STRINGS and (text := _string(node)) is not None:
            yield Text(path, getattr(node, "lineno", 1), text)
            for inner in ast.walk(node):  # type: ignore[arg-type]  # what is filled in may be a string, too
                if isinstance(inner, ast.FormattedValue):
                    stack.append(inner.value)
        elif isinstance(node, ast.AST) and type(node) not in NO_STRINGS:
            stack += vars(node).values()
    yield from _comments(path, source)


def _string(node: object) -> str | None:
    """The text of a string, of an f-string with X for what it fills in, or of a sum of these."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_string(part) or "X" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _string(node.left), _string(node.right)
        return None if left is None and right is None else (left or "X") + (right or "X")
    return None


def _comments(path: Path, source: str) -> Iterator[Text]:
    """Lines of comments that follow each other are one text."""
    block: list[str] = []
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if (bare := line.strip()).startswith("# "):
            block.append(bare[2:])
            continue
        if block:
            yield Text(path, number - len(block), "\n".join(block))
            block = []
        if "  # " in line:
            yield Text(path, number, line.partition("  # ")[2])


def in_markdown(path: Path) -> Iterator[Text]:
    """Paragraphs, headings and cells, without blocks of code."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4}(?! *[-*\d]).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"https?://\S+|^:::.*$", "LINK", text, flags=re.MULTILINE)
    line = 1
    for block in BLOCKS.split(text):
        if block.strip():
            yield Text(path, line, block)
        line += block.count("\n")


def in_lines(path: Path) -> Iterator[Text]:
    """YAML, TOML, HTML and makefiles: a line is a text, without tags and fields of templates."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        bare = re.sub(r"<[^<>]*>|\{[{%#].*?[}%#]\}", "\n\n", line)
        yield Text(path, number, re.sub(r"^\s*[\w.-]+:\s", "", bare))
