"""How likely the objects of a fine-tuned version are right: fitted again, or that of its parent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_unet.inference.predict import FLIPS
from napari_unet.metrics.object_confidence import KEY, ObjectConfidence
from napari_unet.workflow.inputs.labelled_images import as_dataset
from napari_unet.workflow.train.fit_object_confidence import fit_object_confidence, inherited

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_unet.models.model import Model
    from napari_unet.progress import CancelToken
    from napari_unet.workflow.finetune.held_out_gate import HeldOutGate

MARGIN = 1.5  # of the forecast of how long it takes
MOST = 0.1  # share of the budget that it may take


@dataclass(frozen=True)
class VersionConfidence:
    """The confidence of objects of a version.

    Attributes
    ----------
    provenance : dict
        To go into that of the version; empty where neither it nor its parent has one.
    sentence : str
        What a person should know of it; empty where it was fitted to the version itself.
    """

    provenance: dict[str, Any] = field(default_factory=dict)
    sentence: str = ""


def forecast(model: Model, gates: Sequence[HeldOutGate]) -> float:
    """Seconds that it takes to segment the images on which weights are chosen, about."""
    views = len(FLIPS[model.recipe.inference.flips])
    return MARGIN * views * sum(gate.look_seconds for gate in gates)


def confidence_of_version(
    model: Model,
    parent: Mapping[str, Any],
    parent_name: str,
    gates: Sequence[HeldOutGate],
    *,
    in_time: bool,
    cancel: CancelToken | None = None,
) -> VersionConfidence:
    """Fit the confidence of objects on the images that choose the weights of a round; else take the parent's.

    Parameters
    ----------
    model : Model
        The new version.
    parent : mapping
        Provenance of the model that it started from.
    parent_name : str
        What to call that.
    gates : sequence of HeldOutGate
        Whose live images choose weights and teach nothing.
    in_time : bool
        Whether there is time to segment these images once more.
    cancel : CancelToken, optional
        Checked before every batch.
    """
    samples = [
        replace(
            sample,
            load_image=partial(gate.held_out.image, sample),
            load_mask=partial(gate.held_out.mask, sample),
        )
        for gate in gates
        for sample in gate.live
    ]
    found: ObjectConfidence | None = None
    if in_time and samples:
        found = fit_object_confidence(model, as_dataset("validation", samples, model.classes), cancel)
    if found is not None:
        return VersionConfidence({KEY: found.to_json()})
    if ObjectConfidence.of(parent) is None:
        return VersionConfidence()
    why = "too few objects" if in_time else "no time"
    return VersionConfidence(
        inherited(parent, parent_name),
        f"the confidence of objects is that of {parent_name}: {why} to measure it again",
    )
