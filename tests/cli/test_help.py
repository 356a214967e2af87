"""Help, wrong words, and options that every command has."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from napari_unet.cli import COMMANDS, EXAMPLES, _parser, main
from napari_unet.cli.shared.old_spellings import OLD, modern
from napari_unet.errors import did_you_mean

if TYPE_CHECKING:
    from napari_unet.cli.shared.parsing import Parser

HALVES = re.compile(r"^(Of|For|To|As|Like|With|By|In|At|From|Its|Whose)\b")
MOST_WORDS = 30


def parsers() -> list[tuple[str, Parser]]:
    root = _parser()
    return [("", root), *((command.NAME, root.parser_of(command.NAME)) for command in COMMANDS)]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that a wrong command line ends with; exit code 2."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert err.count("\n") == 1
    return err


def test_without_a_command_there_is_help_and_a_script_notices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n  napari-unet ") == 3  # examples
    assert all(f"\n    {command.NAME}" in err for command in COMMANDS)


@pytest.mark.parametrize("topic", [command.NAME for command in COMMANDS])
def test_help_is_the_help_of_the_command(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", topic]) == 0
    shown = capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([topic, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == shown
    assert f"  napari-unet {topic}" in shown


def test_every_example_is_a_command_line_that_is_taken() -> None:
    root = _parser()
    examples = [(None, line) for line in EXAMPLES]
    examples += [(command, line) for command in COMMANDS for line in command.EXAMPLES]
    for command, line in examples:
        options = root.parse_args(shlex.split(line.partition(" > ")[0]))
        assert command is None or options.command is command.run


def test_descriptions_are_sentences_or_nouns() -> None:
    for name, parser in parsers():
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                continue
            text = action.help or ""
            where = f"{name} {action.option_strings or action.dest}: {text}"
            assert text.endswith("."), where
            assert not HALVES.match(text), where
            assert all(len(part.split()) <= MOST_WORDS for part in text.split(". ")), where


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("segmnt x", "'segment'"),
        ("help trian", "'train'"),
        ("segment x --modle nuclei --out o", "--model"),
        ("segment x --model nuclei --out o --treshold 0.4", "--threshold"),
        ("export x --out o --format geojsn", "'geojson'"),
        ("evaluate x --model m --out o --scores overlpa", "'overlap'"),
    ],
)
def test_a_wrong_word_is_answered_with_the_right_one(
    words: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"did you mean {meant}" in refused(capsys, *words.split())


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("networks unett", "'unet'"),
        ("networks --recipe acurate", "'accurate'"),
        ("settings batch_sise", "'batch_size'"),
        ("networks --set network.filter=4", "'network.filters'"),
        ("inspect {here} --layout tgs-slat", "'tgs-salt'"),
        ("segment {here}/a.png --model nucleii --out {here}/o", "'nuclei'"),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(
    words: str, meant: str, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from pathlib import Path

    from PIL import Image

    Image.new("L", (32, 32)).save(Path(str(tmp_path)) / "a.png")
    assert main(words.format(here=tmp_path).split()) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_only_what_is_as_close_is_offered() -> None:
    assert did_you_mean("epoch", ["epochs", "patch"]) == "did you mean 'epochs'?"
    assert did_you_mean("border_sigm", ["border_sigma", "filters"]) == "did you mean 'border_sigma'?"
    assert did_you_mean("NUCLEI", ["nuclei"]) == "did you mean 'nuclei'?"
    assert did_you_mean("zebra", ["a", "b"]) == "choose one of a, b"


@pytest.mark.parametrize(
    "kind", ["train x --out y --minutes two", "segment x --model m --out y --threshold x"]
)
def test_numbers_are_asked_for_in_words(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "needs a number, got '" in refused(capsys, *kind.split())


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "these are missing: INPUT, --model, --out" in refused(capsys, "segment")
    assert "napari-unet: PATH is missing" in refused(capsys, "project")


@pytest.mark.parametrize("flag", ["-q", "-v", "--json", "--debug", "--quiet", "--verbose"])
def test_common_options_stand_before_or_after_the_command(flag: str) -> None:
    root = _parser()
    before = vars(root.parse_args([flag, "doctor"]))
    after = vars(root.parse_args(["doctor", flag]))
    assert before == after != vars(root.parse_args(["doctor"]))


@pytest.mark.parametrize(("command", "old"), [(c, o) for c, names in OLD.items() for o in names])
def test_old_options_work_with_a_note(command: str, old: str, capsys: pytest.CaptureFixture[str]) -> None:
    new = OLD[command][old]
    assert modern([command, "a", old, "b"]) == [command, "a", new, "b"]
    assert modern(["-q", command, f"{old}=b"]) == ["-q", command, f"{new}=b"]
    assert modern([command, "--", old]) == [command, "--", old]
    note = f"note: {old} is now {new}; the old name goes with the next version\n"
    assert capsys.readouterr().err == 2 * note
    known = _parser().parser_of(command)._option_string_actions
    assert new in known
    assert old not in known


def test_format_is_that_of_a_file_and_layout_that_of_data() -> None:
    flags = {name: set(parser._option_string_actions) for name, parser in parsers()}
    assert [name for name, has in flags.items() if "--format" in has] == ["segment", "export"]
    assert not [name for name, has in flags.items() if "--report" in has]
    assert sum("--layout" in has for has in flags.values()) == 10


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "napari-unet" in script
    assert "compare-networks" in script
    assert "minimum-size" in script


def test_settings_say_default_bounds_and_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "batch_size", "--recipe", "paper"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == ["training.batch_size = 1", "    Takes a whole number from 0 to 4,096."]
    assert main(["settings", "augmentation", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["training.augmentation.rotation"]["takes"] == "a number from 0 to 180"
    assert len(found) == 12


def test_settings_lists_all_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    from napari_unet.workflow.train.recipes import setting_paths

    assert main(["settings", "--json"]) == 0
    names = {one["name"] for one in json.loads(capsys.readouterr().out)}
    assert {".".join(path) for path in setting_paths()} - {"name"} < names
    assert "finetune.seconds" in names


def test_open_without_a_screen_says_so(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("napari_unet.workflow.doctor.screen_available", lambda: False)
    assert main(["open", str(tmp_path)]) == 2
    assert "no screen" in capsys.readouterr().err
    assert main(["open", f"{tmp_path}/nothing"]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_open_starts_the_window_on_the_data(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    started: list[list[object]] = []

    def run(words: list[object], check: bool) -> subprocess.CompletedProcess[str]:
        started.append(words[1:])
        return subprocess.CompletedProcess([], 7)

    monkeypatch.setattr("napari_unet.workflow.doctor.screen_available", lambda: True)
    monkeypatch.setattr("napari_unet.cli.open_data.subprocess.run", run)
    assert main(["open", str(tmp_path)]) == 7
    assert [str(word) for word in started[0]] == ["-m", "napari_unet.plugin.show_data", str(tmp_path)]
