"""A hook for mkdocs: CONTRIBUTING.md and CHANGELOG.md become pages of the site.

They lie in the root of the repository, where people and code hosts look for them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def page_of(text: str) -> str:
    """Links from the root to docs become links inside docs; others to files of the repository become text."""
    text = re.sub(r"\]\(docs/([^)]+)\)", r"](\1)", text)
    return re.sub(r"\[([^\]]+)\]\((?!https?:|[\w/-]+\.md)[^)#]+\)", r"`\1`", text)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages (called by mkdocs)."""
    from mkdocs.structure.files import File

    for name, source in PAGES.items():
        text = page_of((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    return files
