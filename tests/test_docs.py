"""The documentation fits the program: generated pages are those of this source, and links lead somewhere."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from napari_unet.cli import _parser

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
MADE_BY_THE_SITE = {DOCS / "contributing.md", DOCS / "changelog.md"}


@pytest.mark.parametrize(
    ("script", "name"), [("make_command_line.py", "command-line"), ("make_settings.py", "settings")]
)
def test_a_generated_page_is_that_of_this_source(script: str, name: str) -> None:
    written = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert written == runpy.run_path(str(DOCS / script))["page"](), f"run: python docs/{script}"


def test_the_page_of_commands_has_needed_arguments_choices_and_defaults() -> None:
    page = runpy.run_path(str(DOCS / "make_command_line.py"))["page"]()
    assert "    napari-unet train DATA --out MODEL [options]\n" in page
    assert "    napari-unet evaluate DATA --out DIR (--model MODEL | --masks DIR) [options]\n" in page
    assert "| `--masks-are {objects,classes}` |" in page
    assert "(default: demo)" in page


def test_every_command_that_is_shown_is_understood() -> None:
    numbers = dict.fromkeys(("M", "K", "V", "GB"), "2")
    shown = []
    for page in [ROOT / "README.md", *PAGES]:
        text = page.read_text(encoding="utf-8").replace("\\\n", "")
        shown += re.findall(r"^    napari-unet ([^|#\n]+?)\s*(?:#.*)?$", text, re.MULTILINE)
    assert len(shown) > 60
    parser = _parser()
    for command in shown:
        words = shlex.split(command.replace("...", "").replace("[", "").replace("]", ""))
        if words[-1:] != ["options"]:  # of the page of commands
            parser.parse_args([numbers.get(word, word) for word in words])  # exits where it fails


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda p: p.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^    .*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)  # no code
    linked = {(page.parent / target).resolve() for target in LINK.findall(prose)}
    assert sorted(str(p) for p in linked if not p.exists() and p not in MADE_BY_THE_SITE) == []


def test_every_page_is_in_the_navigation() -> None:
    listed = set(
        re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {p.relative_to(DOCS).as_posix() for p in PAGES} == listed - {"contributing.md", "changelog.md"}


def test_pages_from_the_root_link_to_pages_of_the_site() -> None:
    page_of: Any = runpy.run_path(str(DOCS / "site_hooks.py"))["page_of"]
    assert page_of("[a](docs/how-to/x.md#y) and [b](LICENSE) and [c](https://d)") == (
        "[a](how-to/x.md#y) and `b` and [c](https://d)"
    )


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 90
