"""What fine-tuning is given and what comes of it: a model, and the verdict of two numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from napari_unet.settings import EvaluationSettings, FineTuneSettings

if TYPE_CHECKING:
    from pathlib import Path

    from napari_unet.engine.task import FromCaller
    from napari_unet.evaluation.compare import Comparison, Verdict
    from napari_unet.workflow.inputs.image_reference import ImageReference
    from napari_unet.workflow.inputs.labelled_images import LabelledImage
    from napari_unet.workflow.inputs.left_out import LeftOut

First = Literal["keep", "discard", "either"]
HURTS = 0.01  # of mean IoU: a loss beyond it is said, however few images judge


def verdict_of(new: Comparison, old: Comparison | None) -> Verdict:
    """Say whether the new model is better, where the new kind and the old kind both count.

    Parameters
    ----------
    new : Comparison
        On images of the kind that was corrected; may be of no image.
    old : Comparison or None
        On images of the kind that the model knew before.

    Returns
    -------
    str
        "worse" if either kind is clearly worse, or lost more than 0.01 of mean IoU; "better" if the new
        kind is clearly better; else "no clear difference".
    """
    if any(_hurt(kind) for kind in (new, old) if kind is not None):
        return "worse"
    return new.verdict


def _hurt(kind: Comparison) -> bool:
    return kind.verdict == "worse" or (kind.difference is not None and kind.difference < -HURTS)


def first_button(new: Comparison, old: Comparison | None) -> First:
    """What a person should be offered first.

    Parameters
    ----------
    new, old : Comparison
        As ``verdict_of`` takes them.

    Returns
    -------
    str
        "discard" if the new model is worse, or no image judged. "keep" if it is better. Also "keep" if it
        gained more than 0.01 and is behind on no image of the new kind, of which there are too few for an
        interval. Else "either".
    """
    verdict = verdict_of(new, old)
    if verdict == "worse" or not (new.images or (old is not None and old.images)):
        return "discard"
    few = new.low is None and new.difference is not None
    ahead = few and new.losses == 0 and float(new.difference or 0) > HURTS
    return "keep" if verdict == "better" or ahead else "either"


def sentence_of(new: Comparison, old: Comparison | None, *, judged_by_folds: bool = False) -> str:
    """The verdict for a person, on one line.

    Parameters
    ----------
    new, old : Comparison
        As ``verdict_of`` takes them.
    judged_by_folds : bool
        Whether images judge that the new model has learned from.
    """
    if old is None or not old.images:
        if not new.images:
            return "not judged: there is no image to judge by, so look at the masks before you keep it"
        whole = replace(new, verdict=verdict_of(new, None))
        if not judged_by_folds:
            return whole.sentence
        return f"{whole.verdict}: new kind: {_numbers(new)}; old kind: not judged, as nothing tells of it"
    verdict = verdict_of(new, old)
    fresh = _numbers(new) if new.images else "not judged, as no image of it is left to judge by"
    return f"{verdict}: new kind: {fresh}; old kind: {_numbers(old)}"


def _numbers(kind: Comparison) -> str:
    """The sentence of a comparison without its verdict."""
    return kind.sentence.removeprefix(f"{kind.verdict}: ")


@dataclass(frozen=True, eq=False)
class FineTuneRequest:
    """What a round of fine-tuning is given.

    Attributes
    ----------
    model : pathlib.Path
        To start from; never touched.
    corrections : tuple of LabelledImage
        What was painted.
    out : pathlib.Path
        Folder of the new model.
    settings : FineTuneSettings
        Time budget, replay, rates.
    replay : pathlib.Path, optional
        The data set the model was trained on. What was held out of it, or else its validation part, is
        used to judge what is forgotten. Without it the data set that the model remembers is taken if it
        is still where it was, else the rehearsal set inside the model.
    replay_format : str, optional
        Its layout.
    others : tuple of ImageReference
        Images without corrections; the model's own predictions on them are replayed if there is nothing
        else to replay.
    judges : tuple of ImageReference
        Images with reference masks to judge by, besides.
    reserve : bool, optional
        Whether every fifth done image is held out; None: where there are too few `judges`.
        Where fewer than five images of the new kind judge, corrections judge by cross-validation too.
    preview : FromCaller, optional
        () -> FileReference, (id, image as (Y, X, C)) or None: the image that shall be shown as it is
        learned. Asked after each look; the answer comes as a Preview, the piece of a Progress.
    stop : FromCaller, optional
        () -> bool, whether to stop now and keep the best; asked twice a second.
    evaluation : EvaluationSettings
        Empty rule and interval of the gate.
    overwrite : bool
        Whether another model that is there may be replaced.
    remembered : pathlib.Path, optional
        Where the data set is that the model remembers, if not where it says.
    """

    model: Path
    corrections: tuple[LabelledImage, ...]
    out: Path
    settings: FineTuneSettings = field(default_factory=FineTuneSettings)
    replay: Path | None = None
    replay_format: str | None = None
    others: tuple[ImageReference, ...] = ()
    judges: tuple[ImageReference, ...] = ()
    reserve: bool | None = None
    preview: FromCaller | None = None
    stop: FromCaller | None = None
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    overwrite: bool = False
    remembered: Path | None = None


@dataclass(frozen=True, eq=False)
class FineTuned:
    """What came of fine-tuning.

    Attributes
    ----------
    model : pathlib.Path
        Folder of the new model.
    comparison : Comparison
        Old against new on images of the kind that was corrected; of no image where nothing judges.
    history : tuple of dict
        A row a look: seconds since the task began, step, loss, learning_rate, held_out_iou.
    learned_from, held_out : tuple of str
        Ids of the corrections that were learned from, and of those held out.
    replayed : str
        "training data", "recorded training data", "rehearsal set", "own predictions" or "nothing".
    steps : int
        Of the optimizer, of the training that the model came of.
    seconds : float
        The whole task took.
    stopped : bool
        Whether a person stopped it early, with the best weights.
    left_out : tuple of LeftOut
        Corrections, and images to replay or to judge by, that could not be read.
    forgetting : Comparison or None
        Old against new on images of the kind that the model knew before; None where nothing tells.
    replay_sentence : str
        What was replayed, for a person.
    point : float
        Where on the line from the old weights (0) to the trained ones (1) the new model is.
    cross_validated : tuple of str
        Ids of corrections that judged by cross-validation: each judged a network that did not learn from it.
    confidence_sentence : str
        Whose confidence of objects the version has, where it could not be measured again.
    """

    model: Path
    comparison: Comparison
    history: tuple[dict[str, float], ...]
    learned_from: tuple[str, ...]
    held_out: tuple[str, ...]
    replayed: str
    steps: int
    seconds: float
    stopped: bool = False
    left_out: tuple[LeftOut, ...] = ()
    forgetting: Comparison | None = None
    replay_sentence: str = ""
    point: float = 1.0
    cross_validated: tuple[str, ...] = ()
    confidence_sentence: str = ""

    @property
    def verdict(self) -> Verdict:
        """Of both kinds of images: "better", "no clear difference" or "worse"."""
        return verdict_of(self.comparison, self.forgetting)

    @property
    def judged(self) -> bool:
        """Whether any image judged."""
        return bool(self.comparison.images or (self.forgetting is not None and self.forgetting.images))

    @property
    def first_button(self) -> First:
        """What to offer first: "keep", "discard" (worse, or not judged), or "either"."""
        return first_button(self.comparison, self.forgetting)

    @property
    def sentence(self) -> str:
        """The verdict, what was replayed, and whose confidence it has, for a person, on one line."""
        verdict = sentence_of(
            self.comparison,
            self.forgetting,
            judged_by_folds=bool(self.cross_validated),
        )
        return "; ".join(filter(None, (verdict, self.replay_sentence, self.confidence_sentence)))
