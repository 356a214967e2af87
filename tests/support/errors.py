"""What tests say of errors: their codes, and the values in their sentences; never the prose."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from napari_unet.errors import WorkbenchError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def raises_code(code: str, *values: object) -> Iterator[pytest.ExceptionInfo[WorkbenchError]]:
    """Expect an error with this code in the block.

    Parameters
    ----------
    code : str
        Like "data.mask.size"; docs/reference/error-codes.md lists all.
    *values
        What the sentence must name, such as a file or a size worked out by hand.
    """
    with pytest.raises(WorkbenchError) as caught:
        yield caught
    check(caught.value, code, *values)


def cli_error(*arguments: object) -> WorkbenchError:
    """The error that a command ends with.

    Its exit code, and that its sentence is what is printed, is tested once for all commands.
    """
    from napari_unet.cli import main

    with pytest.raises(WorkbenchError) as caught:
        main([*map(str, arguments), "--debug"])
    return caught.value


def check(error: WorkbenchError, code: str, *values: object) -> None:
    """Fail unless the error has the code, and its sentence these values."""
    assert error.code == code, f"{error.code} instead of {code}: {error.sentence}"
    for value in values:
        assert str(value) in error.sentence
