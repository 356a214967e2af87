"""Write docs/reference/error-codes.md: every code of an error with its sentences, read from the source.

python docs/make_error_codes.py
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

from napari_unet import errors

SOURCE = Path(__file__).parents[1] / "src" / "napari_unet"
PAGE = Path(__file__).parent / "reference" / "error-codes.md"
KINDS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.WorkbenchError)
}
VALUE = "…"
REMEDY = signature(errors.unwritable).parameters["remedy"].default


@dataclass(frozen=True)
class Construction:
    """A place in the source that makes an error.

    Attributes
    ----------
    place : str
        File and line.
    kind : str
        Name of the class.
    code : str
        Empty unless it is written out in this place.
    sentence : str
        With an ellipsis for each value.
    """

    place: str
    kind: str
    code: str
    sentence: str


def constructions(source: Path = SOURCE) -> list[Construction]:
    """Every place in the source that makes an error."""
    found = []
    for path in sorted(p for p in source.rglob("*.py") if p.name != "errors.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) in {*KINDS, "unwritable"}:
                named = {k.arg: k.value for k in node.keywords}
                kind = _name(node.func)
                if kind == "unwritable":
                    kind = "OutputError"
                    remedy = node.args[2] if len(node.args) > 2 else ast.Constant(REMEDY)
                    named = {"code": ast.Constant("output.unwritable"), "reason": node.args[1]}
                    named["remedy"] = remedy
                code = named.get("code")
                found.append(
                    Construction(
                        f"{path.relative_to(source)}:{node.lineno}",
                        kind,
                        str(code.value) if isinstance(code, ast.Constant) else "",
                        _sentence(node, named),
                    )
                )
    return found


def page(found: list[Construction] | None = None) -> str:
    """The page in Markdown."""
    found = constructions() if found is None else found
    lines = [
        "# Error codes",
        "",
        "Every error has a `code` that stays the same when its sentence is improved: use it in scripts "
        "(`error.code`), and name it when you report a problem.",
        "The command line shows it with `--debug`, the window in the details of an error. The first word "
        "names the class.",
        "",
        "`python docs/make_error_codes.py` writes this page from the source; an ellipsis stands for a value.",
    ]
    for kind in KINDS.values():
        mine = [c for c in found if KINDS[c.kind] is kind]
        if not mine:
            continue
        lines += ["", f"## `{kind.subject}`: {kind.__name__}", "", str(kind.__doc__).splitlines()[0], ""]
        lines += ["| code | sentence |", "| --- | --- |"]
        for code in sorted({c.code for c in mine}):
            sentences = sorted({c.sentence for c in mine if c.code == code})
            lines.append(f"| `{code}` | {'<br>'.join(map(_cell, sentences))} |")
    return "\n".join(lines) + "\n"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _sentence(call: ast.Call, named: dict[str | None, ast.expr]) -> str:
    what = _text(call.args[0]) if call.args else VALUE
    details = ", ".join(f"{word} {_text(named[word])}" for word in ("expected", "got") if word in named)
    if "reason" in named:
        reason = _text(named["reason"])
        details = f"{details} ({reason})" if details else reason
    remedy = f"; {_text(named['remedy'])}" if "remedy" in named and _text(named["remedy"]) else ""
    return " ".join((f"{what}: {details}" if details else what).split()) + remedy


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.IfExp):
        return " / ".join(text for text in (_text(node.body), _text(node.orelse)) if text)
    return VALUE


def _cell(sentence: str) -> str:
    return " ".join(sentence.split()).replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
