"""The errors a user can meet: what is wrong, what was expected, what came, and the remedy."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable


AS_CLOSE = 0.05  # a second word is offered if it is as close as the first


class WorkbenchError(Exception):
    """Base of every error that is meant for a person rather than for a developer.

    Parameters
    ----------
    what : str
        The thing that is wrong, named so that a person can find it ("train/12.png cannot be read").
    code : str
        What kind of error this is, for programs ("data.image.unreadable"): it stays when the sentence
        becomes a better one. It begins with the `subject` of the class; the page
        of error codes (docs/reference/error-codes.md) lists all.
    expected : str, optional
        What would have been right.
    got : str, optional
        What came instead.
    reason : str, optional
        Why, in the words of the system or a library ("No space left on device").
    remedy : str, optional
        What the person can do about it.
    """

    subject: ClassVar[str] = ""

    def __init__(
        self, what: str, *, code: str, expected: str = "", got: str = "", reason: str = "", remedy: str = ""
    ) -> None:
        self.what = what
        self.code = code
        self.expected = expected
        self.got = got
        self.reason = reason
        self.remedy = remedy
        super().__init__(self.sentence)
        self.add_note(f"error code: {code}")  # below the sentence in tracebacks: --debug, details, the log

    @property
    def sentence(self) -> str:
        """The whole error on one line."""
        expected = f"expected {self.expected}" if self.expected else ""
        got = f"got {self.got}" if self.got else ""
        details = ", ".join(part for part in (expected, got) if part)
        if self.reason:
            details = f"{details} ({self.reason})" if details else self.reason
        text = f"{self.what}: {details}" if details else self.what
        if self.remedy:
            text = f"{text}; {self.remedy}"
        return " ".join(text.split())

    def __reduce__(self) -> tuple[object, ...]:
        """Let the error travel between processes with all its parts."""
        return (_rebuild, (type(self), self.parts))

    @property
    def parts(self) -> dict[str, str]:
        """What the error was made of, by the names of the parameters."""
        names = ("what", "code", "expected", "got", "reason", "remedy")
        return {name: getattr(self, name) for name in names}


def _rebuild(kind: type[WorkbenchError], parts: dict[str, str]) -> WorkbenchError:
    return kind(**parts)


class DataError(WorkbenchError):
    """An image, mask, table or data set that cannot be read or does not fit together."""

    subject = "data"


class SettingsError(WorkbenchError):
    """A setting that is unknown, out of range, or at odds with another."""

    subject = "settings"


class ModelError(WorkbenchError):
    """A model that cannot be loaded, or does not fit the images it is used on."""

    subject = "model"


class SizeError(WorkbenchError):
    """An image size that a network cannot take."""

    subject = "size"


class TrainingError(WorkbenchError):
    """A training run that cannot start or cannot resume."""

    subject = "training"


class OutputError(WorkbenchError):
    """A file or folder that cannot be written."""

    subject = "output"


class ComputeError(WorkbenchError):
    """Work that broke off: the computing process ended, memory ran out, or the program is at fault."""

    subject = "compute"


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The question "did you mean 'x'?", or a list of what there is where nothing comes close.

    Parameters
    ----------
    given : str
        What a person typed.
    known : iterable of str
        What there is.
    """
    names = list(dict.fromkeys(known))
    lower = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(given.lower(), lower, n=2, cutoff=0.7)
    ratios = [difflib.SequenceMatcher(None, name, given.lower()).ratio() for name in close]
    close = [name for name, ratio in zip(close, ratios, strict=True) if ratio > ratios[0] - AS_CLOSE]
    if close:
        return f"did you mean {' or '.join(repr(lower[name]) for name in close)}?"
    return f"choose one of {', '.join(names)}"


def unwritable(what: str, error: OSError, remedy: str = "choose another folder or make room") -> OutputError:
    """The error to raise where the system refuses to write; `what` says what cannot be written."""
    # NumPy tells how much it wrote instead of what the system said.
    reason = error.strerror or f"no room for all of it ({error})"
    return OutputError(what, code="output.unwritable", reason=reason, remedy=remedy)


class Cancelled(Exception):  # noqa: N818 - not an error: the person asked for it
    """The person stopped the task."""
