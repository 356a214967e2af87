"""What learning will use, as a small table: images, time, memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_unet.workflow.train.forecast_task import Plan


@dataclass(frozen=True)
class Fact:
    """A cell of the table.

    Attributes
    ----------
    title : str
        One or two words.
    value : str
        A number, possibly with its unit.
    meaning : str
        What it is, in a sentence.
    """

    title: str
    value: str
    meaning: str


def plan_facts(plan: Plan, minutes: float) -> list[Fact]:
    """Images of each part, time and memory of a planned training.

    Parameters
    ----------
    plan : Plan
        Of the training.
    minutes : float
        Its time budget.
    """
    split = plan.split
    return [
        Fact("Train", f"{len(split.train):,}", f"Images that the network learns from. {plan.split_words}"),
        Fact(
            "Validation", f"{len(split.validation):,}", "Images that choose the best weights during training."
        ),
        Fact(
            "Held-out",
            f"{len(split.held_out):,}",
            "Held-out images: the network never learns from them, and they decide the verdict.",
        ),
        Fact("Time", f"{minutes:g} min", plan.forecast_words(minutes)),
        Fact(
            "Memory",
            f"{plan.memory / 2**30:.1f} GB",
            f"{plan.free / 2**30:.1f} GB are free on this machine.",
        ),
    ]
