"""The command `networks`: which networks there are, what they cost, and when to choose which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_unet.cli.shared.results import show
from napari_unet.cli.shared.running import DONE, add_set_argument, run_task, start_backend

if TYPE_CHECKING:
    import argparse

    from napari_unet.workflow.network_facts import NetworkFacts

NAME = "networks"
ABOUT = "List the networks: weights, operations, what they see and take, and when to choose which."
EXAMPLES = ("networks", "networks unet segnet --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("names", nargs="*", metavar="NETWORK", help="Networks to list (default: all).")
    parser.add_argument(
        "--recipe", default="fast", help="Recipe whose settings count (default: %(default)s)."
    )
    add_set_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    start_backend()
    from napari_unet.workflow.network_facts import ListNetworksTask
    from napari_unet.workflow.train.recipes import recipe

    settings = recipe(options.recipe, options.changes).network
    facts = run_task(ListNetworksTask(settings, tuple(options.names)))
    show(options, [each.to_json() for each in facts])
    if not options.json:
        _print_table(facts)
    return DONE


def _print_table(facts: list[NetworkFacts]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("network", no_wrap=True)
    for column in ("million weights", "GFLOP", "for", "sees"):
        table.add_column(column, justify="right")
    table.add_column("takes")
    for each in facts:
        table.add_row(
            each.name,
            f"{each.parameters / 1e6:.2f}",
            f"{each.gflop:.2f}",
            f"{each.side}x{each.side}",
            "everything" if each.receptive_field is None else f"{each.receptive_field}",
            each.sizes,
        )
    console = Console()
    console.print(table)
    for each in facts:
        note = f" Here with {each.note}, as it takes nothing else." if each.note else ""
        weights = f" {each.weights}" if each.weights else ""
        console.print(f"[bold]{each.name}[/bold]  {each.title}. {each.when}{weights}{note}", highlight=False)
