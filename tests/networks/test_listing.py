"""What `napari-unet networks` tells."""

from __future__ import annotations

import json

import pytest

from napari_unet.cli import main
from napari_unet.networks.registry import architecture, architectures
from napari_unet.settings import NetworkSettings
from support.errors import cli_error

pytestmark = pytest.mark.slow

SMALL = ["--set", "filters=2", "--set", "depth=2"]


def test_the_list_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks", "fcn8s", "unet", "deep_contextual", *SMALL, "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert next(iter(listed)) == "unet"
    assert listed["unet"]["multiple"] == 4
    assert listed["unet"]["side"] == 256
    assert "depth" in listed["unet"]["settings"]
    assert "depth" not in listed["fcn8s"]["settings"]
    assert listed["fcn8s"]["multiple"] == 1
    assert listed["fcn8s"]["pretrained"]
    assert listed["deep_contextual"]["heads"] == ["c1", "c2", "c3"]


def test_weights_that_come_with_the_program_are_listed_with_their_licence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lite = ["networks", "encoder_unet", *SMALL, "--set", "encoder=EfficientNetLite0"]
    assert main([*lite, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["multiple"] == 4
    assert "depth" in listed["settings"]
    assert "EfficientNet-Lite0" in listed["weights"]
    assert main(lite) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "ImageNet weights of EfficientNet-Lite0 come with the program (Apache-2.0, The TensorFlow" in out
    assert main(["networks", "unet", *SMALL, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["weights"] == ""


def test_one_with_a_separation_of_its_own_is_listed_with_any(
    capsys: pytest.CaptureFixture[str],
) -> None:
    changes = ["--set", "filters=1", "--set", "separation=star"]
    assert main(["networks", "mask_rcnn", *changes, "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert listed["receptive_field"] is None
    assert listed["multiple"] == 32


def test_those_that_do_not_take_a_setting_are_listed_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [*SMALL, "--recipe", "tgs-salt", "--set", "separation=star"]
    assert main(["networks", *wanted, "--json"]) == 0
    listed = {each["name"]: each for each in json.loads(capsys.readouterr().out)}
    assert set(listed) == set(architectures())
    able = {"unet", "attention_unet", "scse_unet", "encoder_unet"}
    assert {name for name, each in listed.items() if not each["note"]} == able
    assert listed["mask_rcnn"]["note"] == "presence=false, separation=objects"
    assert listed["fcn8s"]["note"] == "presence=false"
    assert main(["networks", "fcn8s", "unet", *SMALL, "--set", "presence=true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("Here with presence=false, as it takes nothing else.") == 1
    assert out.index("Here with") > out.index("FCN-8s")


def test_objects_are_found_by_one_alone() -> None:
    objects = NetworkSettings(separation="objects", classes=3)
    taken, note = architecture("unet").supported_settings(objects)
    assert (taken.name, taken.separation, taken.classes, note) == ("unet", "none", 3, "separation=none")
    mask_rcnn = objects.model_copy(update={"name": "mask_rcnn"})
    assert architecture("mask_rcnn").supported_settings(objects) == (mask_rcnn, "")
    unet = NetworkSettings(separation="distance", presence=True)
    assert architecture("unet").supported_settings(unet) == (unet, "")


def test_the_list_for_people_and_sizes_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    plain = ["padding=valid", "block=plain", "normalization=none"]
    changes = [part for change in plain for part in ("--set", change)]
    assert main(["networks", "unet", *SMALL, *changes]) == 0
    out = capsys.readouterr().out
    # Two levels: 4 * 3 pixels continue either way, so 4 n + 12, which is again a multiple of 4.
    assert "256x256" in out
    assert "multiples of 4, from" in out
    assert "The network of the paper" in out


def test_a_name_that_is_none() -> None:
    error = cli_error("networks", "vnet")
    assert error.code == "settings.network.unknown"
    assert "'vnet'" in error.sentence
