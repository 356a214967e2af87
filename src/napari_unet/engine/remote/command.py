"""The command that leads to another machine, as a person writes it."""

from __future__ import annotations

import shlex
import shutil
import sys

from napari_unet.errors import SettingsError

WORKER = ("napari-unet", "worker")


def command_of(text: str) -> tuple[str, ...]:
    """The command that starts the worker.

    Parameters
    ----------
    text : str
        Like "ssh box", to which ``napari-unet worker`` is added, or a whole command with the word ``worker``.

    Raises
    ------
    SettingsError
        If there is no such command on this machine.
    """
    try:
        words = shlex.split(text, posix=sys.platform != "win32")
    except ValueError as error:  # a quote that does not end
        raise _unusable(text, str(error)) from error
    if not words:
        raise _unusable(text, "nothing")
    if shutil.which(words[0]) is None:
        raise _unusable(text, f"no program {words[0]} on this machine")
    named = any("worker" in word.split() or word == "worker" for word in words)
    return tuple(words if named else [*words, *WORKER])


def _unusable(text: str, got: str) -> SettingsError:
    return SettingsError(
        f"{text!r} is no command that leads to another machine",
        code="settings.remote.command",
        expected="one like `ssh box`",
        got=got,
        remedy="check it in a shell",
    )
