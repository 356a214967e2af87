"""`napari-unet settings NAME`: by name, by group, by a part of the name."""

from __future__ import annotations

import json

import pytest

from napari_unet.cli import main
from support.errors import check, cli_error


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("training.batch_size", ["training.batch_size"]),
        ("batch_size", ["training.batch_size"]),
        ("batch", ["training.batch_size", "inference.batch_pixels", "finetune.batch_pixels"]),
        ("Rate", ["training.learning_rate", "finetune.learning_rate"]),
    ],
)
def test_settings_are_found_by_name_and_by_a_part_of_it(
    wanted: str, found: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["settings", wanted, "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == found


def test_a_misspelt_setting_is_guessed() -> None:
    check(cli_error("settings", "batchsize"), "settings.unknown", "did you mean 'batch_size'")
