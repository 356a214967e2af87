"""No word of pydantic's reaches a person, whatever a setting is set to."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from napari_unet.setting_values import fault, needs
from napari_unet.settings import (
    EvaluationSettings,
    FineTuneSettings,
    InferenceSettings,
    LargeImageSettings,
    NetworkSettings,
    Recipe,
    TrainingSettings,
)
from napari_unet.workflow.replay.run_record import RunRecord
from napari_unet.workflow.train.recipes import checked, setting_paths
from support.errors import raises_code

KINDS: tuple[type[BaseModel], ...] = (
    Recipe, FineTuneSettings, InferenceSettings, LargeImageSettings, EvaluationSettings, RunRecord,
)  # fmt: skip
WRONG: tuple[Any, ...] = (
    "two", "", "1.5", "9" * 6000, 1.5, -1e30, 1e30, float("nan"), float("inf"), None, True, [], [1], {"a": 1},
    b"\xff", object(), 10**400, "\ud800", 3 + 4j,
)  # fmt: skip
# How pydantic begins its sentences, of every kind of error that it has.
OWN_WORDS = ("Input should", "Field required", "Extra inputs", "Value error", "Assertion failed", "pydantic")


def schema_types(schema: Any) -> set[str]:
    """Kinds of values in a core schema."""
    found = {schema["type"]} if isinstance(schema, dict) and isinstance(schema.get("type"), str) else set()
    inner = (
        schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list | tuple) else ()
    )
    return found.union(*(schema_types(one) for one in inner if isinstance(one, dict | list | tuple)))


def places(kind: type[BaseModel], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, field in kind.model_fields.items():
        found.append((*above, name))
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found += places(inner, (*above, name))
    return found


def set_to(place: tuple[str, ...], value: Any) -> dict[str, Any]:
    content: Any = value
    for part in reversed(place):
        content = {part: content}
    assert isinstance(content, dict)
    return content


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_set_to_anything_is_answered_in_our_words(kind: type[BaseModel]) -> None:
    met = set()
    for place in places(kind):
        for value in WRONG:
            try:
                kind.model_validate(set_to(place, value))
            except ValidationError as error:
                first = error.errors()[0]
                met.add(first["type"])
                said = fault(kind, error)
                assert first["msg"] not in said
                assert not any(words in said for words in OWN_WORDS), said
                assert "another value" not in said, said
                assert len(said) < 500
    assert met


def test_all_kinds_of_values_that_settings_have_are_known() -> None:
    """A new kind of value needs a word in setting_values, and its name here."""
    found = set().union(*(schema_types(kind.__pydantic_core_schema__) for kind in KINDS))
    assert {"int", "float", "str", "bool", "literal", "tuple"} <= found
    values = found - {"model", "model-fields", "model-field", "default", "definitions", "definition-ref"}
    values -= {"function-before", "function-after", "no-info", "with-info", "tagged-union", "nullable"}
    assert values <= {"int", "float", "str", "bool", "literal", "tuple", "list", "dict", "any", "datetime"}


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (
            ("training", "batch_size"),
            "two",
            "training.batch_size needs a whole number from 0 to 4,096, got 'two'",
        ),
        (("network", "filters"), 0, "network.filters needs a whole number from 1 to 512, got 0"),
        (
            ("training", "learning_rate"),
            0,
            "training.learning_rate needs a number above 0 and at most 10, got 0",
        ),
        (("training", "momentum"), 1, "training.momentum needs a number of at least 0 and below 1, got 1"),
        (("training", "gradient_norm"), -1, "training.gradient_norm needs a number of at least 0, got -1"),
        (("training", "optimizer"), "x", "training.optimizer needs adamw or sgd, got 'x'"),
        (("network", "presence"), "perhaps", "network.presence needs true or false, got 'perhaps'"),
        (("network", "name"), 3, "network.name needs text, got 3"),
        (("network",), 3, "network needs a group of settings (an object in JSON), got 3"),
        (("network", "filter"), 3, "there is no setting 'network.filter': did you mean 'filters'?"),
    ],
)
def test_sentences(place: tuple[str, ...], value: object, says: str) -> None:
    with raises_code("settings.value") as caught:
        checked(Recipe, set_to(place, value))
    assert caught.value.sentence == says


def test_what_we_say_ourselves_stays() -> None:
    with raises_code("settings.value") as caught:
        checked(NetworkSettings, {"filters": 512, "depth": 7})
    assert caught.value.sentence == "filters times 2 ** depth may be at most 4096, not 65536"


def test_every_setting_says_what_it_takes() -> None:
    assert len(setting_paths()) > 60
    for kind in (TrainingSettings, NetworkSettings, InferenceSettings, FineTuneSettings):
        assert all(needs(field) not in ("", "another value") for field in kind.model_fields.values())


@pytest.mark.slow
def test_the_python_api_imports_keras_without_a_word_of_tensorflow() -> None:
    code = "from napari_unet.models.model import load_model; load_model('nuclei')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
