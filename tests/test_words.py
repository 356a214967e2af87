"""Plain English: no private words, no sentence of more than 30 words, one word for one thing.

A tired biologist whose first language is not English reads these texts: active voice, present tense, one idea
in a sentence. Benchmarks and tests, which only developers read, are not looked at.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from support.prose import Text, in_lines, in_markdown, in_python, length

ROOT = Path(__file__).parents[1]
MOST_WORDS = 30
# What to write in place of it.
BANNED = {
    r"anew": "again",
    r"at hand": "current, open",
    r"(?:go|goes|going|went) on": "continue, resume",
    r"sitting|sittings": "session",
    r"beside": "next to, in addition to",
    r"thereof": "of it",
    r"had": "has, or another verb",
    r"told": "separated, said, shown",
    r"kept": "stored, held out; or the active verb: stays",
    r"shipped": "built-in",
    r"vouche[sd]|vouch": "verified",
    r"hitherto|whence|wherein|lest|albeit|thence|therein": "a plain word",
    r"[Oo]f several the": "the one of several that",
    r"its makers": "the name",
    r"held against": "compared with",
    # One word for one thing.
    r"learnt": "learned",
    r"ground[ -]truth": "reference mask",
    r"hold-?outs?|hold-out": "held-out images",
    r"(?:hand-?)?labell?ing": "painting masks",
    r"human[ -]in[ -]the[ -]loop": "loop",
    r"un-?certain(?:ty|ties)": "disagreement (the button: Unsure)",
}
WORDS = re.compile(
    r"(?<![\w`/.-])(?:" + "|".join(f"(?:{word})" for word in BANNED) + r")(?![\w`/(-])", re.IGNORECASE
)


@cache
def texts() -> tuple[Text, ...]:
    """All of them."""
    source = ROOT / "src" / "napari_unet"
    found: list[Text] = []
    for folder in (source, ROOT / "docs"):
        for path in sorted(folder.rglob("*.py")):
            found += in_python(path)
    for path in [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md")), *source.rglob("*.md")]:
        found += in_markdown(path)
    for path in [*source.rglob("*.html"), source / "napari.yaml", ROOT / "Makefile", ROOT / "mkdocs.yml"]:
        found += in_lines(path)
    for path in sorted((ROOT / ".github").rglob("*.*")):
        found += in_markdown(path) if path.suffix == ".md" else in_lines(path) if path.is_file() else ()
    return tuple(text for text in found if text.is_prose)


def place(text: Text) -> str:
    return f"{text.path.relative_to(ROOT)}:{text.line}"


def test_no_private_words() -> None:
    found = []
    for text in texts():
        for match in WORDS.finditer(text.text):
            around = " ".join(text.text[max(0, match.start() - 40) : match.end() + 40].split())
            better = next(b for word, b in BANNED.items() if re.fullmatch(word, match[0], re.IGNORECASE))
            found.append(f"{place(text)}: {match[0]!r} in '... {around} ...'; write: {better}")
    assert not found, f"{len(found)} places\n" + "\n".join(found)


def test_sentences_are_short() -> None:
    found = [
        f"{place(text)}: {length(sentence)} words: {sentence}"
        for text in texts()
        if text.path.name
        != "error-codes.md"  # puts together, without a full stop, what is read in the source
        for sentence in text.sentences()
        if length(sentence) > MOST_WORDS
    ]
    assert not found, f"{len(found)} sentences\n" + "\n".join(found)


def test_all_kinds_of_texts_are_read() -> None:
    suffixes = {text.path.suffix for text in texts()}
    assert suffixes >= {".py", ".md", ".html", ".yaml", ".yml", ""}
    assert len(texts()) > 10_000


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("One two three.", 3),
        ("An array (N, Y, X, C) float32.", 4),
        ("It is [here](how-to/large-images.md#painting) and there.", 5),
        ("The sum a + b = 2 is three.", 6),
    ],
)
def test_words_of_a_sentence(written: str, words: int) -> None:
    assert length(written) == words


def test_sentences_of_a_docstring(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        'def f(x: int) -> str:\n    """Do it. Then `stop`.\n\n    Parameters\n    ----------\n    x : int\n'
        '        How often.\n    """\n    # Why\n    # so.\n    return f"{x} of " + "all"  # that is it\n'
    )
    read = {" / ".join(text.sentences()) for text in in_python(file)}
    assert any("Do it. / Then CODE." in text and "How often." in text for text in read)
    assert {"Why so.", "X of all", "that is it"} <= read
