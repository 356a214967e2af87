"""The command `worker`: compute for a window or a command on another machine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from napari_unet.engine.remote.store import DEFAULT_SIZE

if TYPE_CHECKING:
    import argparse

NAME = "worker"
ABOUT = "Compute for another machine, which starts this command, for example with ssh."
EXAMPLES = ("worker", "worker --cache-size 100")
WAIT = 300.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--cache", type=Path, metavar="DIR",
        help="Folder of images and models that came from other machines (default: the user's cache folder).",
    )  # fmt: skip
    parser.add_argument(
        "--cache-size", type=float, default=DEFAULT_SIZE, metavar="GB",
        help="Gigabytes that the folder may take (default: %(default)g).",
    )  # fmt: skip
    parser.add_argument(
        "--wait", type=float, default=WAIT, metavar="SECONDS",
        help="Seconds to wait for the other machine after the connection was cut (default: %(default)g).",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    from napari_unet.engine.remote.relay import relay
    from napari_unet.errors import SettingsError

    for name in ("cache_size", "wait"):
        if getattr(options, name) <= 0:
            raise SettingsError(
                f"--{name.replace('_', '-')} must be above 0",
                code="settings.remote.range",
                got=f"{getattr(options, name):g}",
            )
    if sys.stdin.isatty():
        raise SettingsError(
            "this command is started by a window or a command on another machine",
            code="settings.remote.terminal",
            expected="a connection, no terminal",
            remedy='on that machine, use: napari-unet segment ... --on "ssh THIS-MACHINE"',
        )
    cache = options.cache
    if cache is None:
        from platformdirs import user_cache_path

        cache = user_cache_path("napari-unet-workbench", appauthor=False) / "remote"
    return relay(cache.expanduser().absolute(), options.cache_size, options.wait)
