"""Who judges a fine-tuned model: images of the new kind, and images of the kind that it knew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from napari_unet.data.image_hash import image_hash
from napari_unet.errors import WorkbenchError
from napari_unet.workflow.finetune.held_out_gate import LABELLED, NotJudging
from napari_unet.workflow.finetune.training_examples import MOST_JUDGED
from napari_unet.workflow.inputs.left_out import LeftOut, check_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from napari_unet.data.dataset import Dataset
    from napari_unet.data.sample import Sample
    from napari_unet.evaluation.leakage import TrainingMembership
    from napari_unet.progress import CancelToken
    from napari_unet.workflow.finetune.replay_source import ReplaySource


@dataclass
class Judges:
    """Images with reference masks of one kind, and what became of those that do not judge.

    Attributes
    ----------
    samples : list of Sample
        That judge; ids begin with "labelled/".
    candidates : set of str
        Ids of all that were looked at.
    corrected : list of str
        Ids of the corrections that are the same image as a candidate.
    learned, damaged : int
        Candidates that the model has learned from, or that cannot be used.
    """

    samples: list[Sample] = field(default_factory=list)
    candidates: set[str] = field(default_factory=set)
    corrected: list[str] = field(default_factory=list)
    learned: int = 0
    damaged: int = 0

    def not_judging(self, judging: Iterable[str] = (), beyond: Iterable[str] = ()) -> NotJudging:
        """For the counts to fit together.

        Parameters
        ----------
        judging : iterable of str
            Ids of corrections that judge.
        beyond : iterable of str
            Ids of images that were not taken, as there are enough.
        """
        aside = set(judging)
        return NotJudging(
            self.learned,
            sum(i not in aside for i in self.corrected),
            sum(LABELLED + i not in self.candidates for i in beyond),
            MOST_JUDGED,
            self.damaged,
        )


def find_judges(
    given: Sequence[Sample],
    replay: ReplaySource,
    painted: Dataset,
    seen: TrainingMembership,
    on_problem: Callable[[LeftOut], object],
    cancel: CancelToken,
) -> tuple[Judges, Judges]:
    """Labelled images to judge by that are neither corrected nor known to the model.

    Parameters
    ----------
    given : sequence of Sample
        Images of the kind that was corrected.
    replay : ReplaySource
        With images of the kind that the model knew.
    painted : Dataset
        The corrections.
    seen : TrainingMembership
        What the model has seen.
    on_problem : callable
        Takes images that cannot be read.
    cancel : CancelToken
        Asked before every image.

    Returns
    -------
    new, old : Judges
        No image is in both.
    """
    any_given = any(s.has_mask for s in (*given, *replay.judges))
    taken = {image_hash(painted.image(s)): s.id for s in painted.samples} if any_given else {}
    met: set[str] = set()
    new = _usable(given, taken, seen, met, on_problem, cancel)
    known = None if replay.trained_on else seen
    old = _usable(replay.judges, taken, known, met, on_problem, cancel)
    return new, old


def _usable(
    samples: Sequence[Sample],
    taken: Mapping[str, str],
    seen: TrainingMembership | None,
    met: set[str],
    on_problem: Callable[[LeftOut], object],
    cancel: CancelToken,
) -> Judges:
    """Those that may judge; `met` are hashes of images met before, and grows."""
    found = Judges()
    named = {LABELLED + s.id: replace(s, id=LABELLED + s.id) for s in samples if s.has_mask}
    found.candidates = set(named)
    for sample in named.values():
        cancel.check()
        try:
            image = sample.read_image()
            check_size(sample, image.shape[:2], sample.read_mask().labels.shape)
        except WorkbenchError as error:
            on_problem(LeftOut.of(replace(sample, id=sample.id.removeprefix(LABELLED)), error))
            found.damaged += 1
            continue
        digest = image_hash(image)
        if digest in met:
            continue
        met.add(digest)
        if digest in taken:
            found.corrected.append(taken[digest])
        elif seen is not None and seen.part(image) == "train":
            found.learned += 1
        else:
            found.samples.append(sample)
    return found
