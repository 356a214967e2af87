"""A session in which a person corrects and learns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.lesson import Lesson
from support.weights import changed_weights_are_told

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["changed_weights_are_told"]


@pytest.fixture(scope="session")
def salt(salt_folder: Path) -> Path:
    """A made-up set of 24 tiles; a module may have another."""
    return salt_folder


@pytest.fixture
def model(salt_model: Path) -> Path:
    """What the lesson starts from; a module may have another."""
    return salt_model


@pytest.fixture
def lesson(salt: Path, model: Path, no_pause: None) -> Iterator[Lesson]:
    lesson = Lesson(salt, model)
    yield lesson
    lesson.session.close()
