"""How long the documentation is: pages and words in docs, lines of the README.

    python docs/count_pages.py [COMMIT ...]

counts the files as they are, or those of each commit.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def texts_of(commit: str) -> dict[str, str]:
    """Every page, and the README, by path; of the files as they are if the commit is empty."""
    if not commit:
        paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    names = _git("ls-tree", "-r", "--name-only", commit, "README.md", "docs").splitlines()
    return {name: _git("show", f"{commit}:{name}") for name in names if name.endswith(".md")}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True, encoding="utf-8")
    return done.stdout


def sentence(texts: dict[str, str]) -> str:
    """The counts in words."""
    pages = [text for name, text in texts.items() if name.startswith("docs/")]
    words = sum(len(text.split()) for text in pages)
    return f"{len(pages)} pages, {words:,} words; README {len(texts['README.md'].splitlines())} lines"


if __name__ == "__main__":
    for each in sys.argv[1:] or [""]:
        print(f"{each or 'now'}: {sentence(texts_of(each))}")
