"""Every error has a stable code, and the page that lists them is the one of this source."""

from __future__ import annotations

import pickle
import re
import runpy
import traceback
from pathlib import Path
from typing import Any

import pytest

from napari_unet import errors
from napari_unet.cli import main

DOCS = Path(__file__).parents[1] / "docs"
WELL_FORMED = re.compile(r"[a-z]+(\.[a-z]+){1,3}")


@pytest.fixture(scope="module")
def writer() -> dict[str, Any]:
    return runpy.run_path(str(DOCS / "make_error_codes.py"))


def test_every_error_has_a_code_that_begins_with_the_subject_of_its_class(writer: dict[str, Any]) -> None:
    found = writer["constructions"]()
    assert len(found) > 300
    wrong = [
        f"{each.place}: {each.kind} with code {each.code!r}"
        for each in found
        if not WELL_FORMED.fullmatch(each.code)
        or each.code.split(".")[0] != getattr(errors, each.kind).subject
    ]
    assert wrong == []


def test_the_page_lists_the_codes_of_this_source(writer: dict[str, Any]) -> None:
    written = (DOCS / "reference" / "error-codes.md").read_text(encoding="utf-8")
    assert written == writer["page"](), "run: python docs/make_error_codes.py"


def test_codes_are_read_wherever_they_stand(writer: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "raise DataError(f'{name} is torn', code='data.image.torn', got='x | y', remedy='mend ' + it)\n"
        "raise errors.SizeError('too small' if size else 'empty')\n"
    )
    first, second = writer["constructions"](tmp_path)
    assert (first.place, first.kind, first.code) == ("a.py:1", "DataError", "data.image.torn")
    assert first.sentence == "… is torn: got x | y; mend …"
    assert (second.place, second.kind, second.code) == ("a.py:2", "SizeError", "")
    assert "| `data.image.torn` | … is torn: got x \\| y; mend … |" in writer["page"]([first])


def test_a_code_travels_between_processes_and_is_shown_below_the_sentence() -> None:
    error = errors.DataError(
        "a thing is wrong",
        code="data.mask.size",
        expected="4",
        got="5",
        reason="a byte too many",
        remedy="mend it",
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.DataError
    assert again.parts == {
        "what": "a thing is wrong",
        "code": "data.mask.size",
        "expected": "4",
        "got": "5",
        "reason": "a byte too many",
        "remedy": "mend it",
    }
    assert again.sentence == str(again) == "a thing is wrong: expected 4, got 5 (a byte too many); mend it"
    assert traceback.format_exception(again) == [
        "napari_unet.errors.DataError: a thing is wrong: expected 4, got 5 (a byte too many); mend it\n",
        "error code: data.mask.size\n",
    ]


def test_the_command_line_says_the_sentence_and_shows_the_code_with_debug(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert main(["inspect", nowhere]) == 2
    assert capsys.readouterr().err.strip() == f"napari-unet: {nowhere} does not exist; check the path"
    with pytest.raises(errors.DataError) as caught:
        main(["inspect", nowhere, "--debug"])
    assert caught.value.code == "data.file.missing"
    assert "error code: data.file.missing\n" in traceback.format_exception(caught.value)
