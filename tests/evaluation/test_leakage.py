"""Images that a model has seen are known again, whatever a program made of their file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from napari_unet.data.image_hash import image_hash
from napari_unet.data.inspection.resemblance import HASH, fingerprint, near_duplicates
from napari_unet.data.split import Split
from napari_unet.evaluation.leakage import TrainingMembership, trained_on_before
from napari_unet.evaluation.report.summary_text import copies_note

if TYPE_CHECKING:
    from numpy.typing import NDArray


def picture(seed: int, side: int = 96) -> NDArray[np.uint8]:
    """(Y, X, 1) uint8, blots on a slope; 0 and 255 occur."""
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.random((side, side)).astype(np.float32), (0, 0), side / 16)
    grey = (grey - grey.min()) / (grey.max() - grey.min())
    return np.asarray(np.rint(255 * grey), np.uint8)[..., None]


TRAINED, JUDGE, OTHER = picture(1), picture(2), picture(3)


def provenance(*, prints: bool = True, stored: NDArray[np.uint8] = TRAINED) -> dict[str, object]:
    images = {"trained": stored, "judge": JUDGE}
    found: dict[str, object] = {
        "split": Split(("trained",), (), ("judge",)).to_json(),
        "image_hashes": {i: image_hash(image) for i, image in images.items()},
    }
    if prints:
        found["fingerprints"] = {i: fingerprint(image) for i, image in images.items()}
    return found


def rgb(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(grey, 3, axis=2)


COPIES = {
    "same": lambda g: g,
    "RGB": rgb,
    "RGBA": lambda g: np.concatenate([rgb(g), np.full_like(g, 255)], axis=2),
    "grey and alpha": lambda g: np.concatenate([g, np.full_like(g, 255)], axis=2),
    "uint16, same counts": lambda g: g.astype(np.uint16),
    "uint16, stretched": lambda g: g.astype(np.uint16) * 257,
    "shares": lambda g: (g / 255).astype(np.float32),
    "float counts": lambda g: g.astype(np.float64),
    "int32": lambda g: g.astype(np.int32),
}
CHANGED = {
    "half": lambda g: cv2.resize(g, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "larger": lambda g: cv2.resize(g, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC),
    "JPEG": lambda g: cv2.imdecode(cv2.imencode(".jpg", g, [1, 50])[1], cv2.IMREAD_UNCHANGED),
    "brighter": lambda g: np.clip(g * 1.2 + 10, 0, 255).astype(np.uint8),
    "darker": lambda g: (g * 0.6).astype(np.uint8),
    "flipped": lambda g: g[:, ::-1],
    "turned": lambda g: np.rot90(g),
}


@pytest.mark.parametrize("stored", ["same", "RGB"])
@pytest.mark.parametrize("prints", [True, False])
@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_with_other_channels_or_of_another_type_is_seen(copy: str, prints: bool, stored: str) -> None:
    """Also by models that keep hashes alone, those of earlier versions."""
    seen = TrainingMembership(provenance(prints=prints, stored=COPIES[stored](TRAINED)))
    assert seen.part(COPIES[copy](TRAINED)) == "train"
    assert seen.part(COPIES[copy](OTHER)) == "unseen"


@pytest.mark.parametrize("change", CHANGED)
def test_a_changed_copy_is_seen(change: str) -> None:
    seen = TrainingMembership(provenance())
    for image, part in ((TRAINED, "train"), (JUDGE, "held-out"), (OTHER, "unseen")):
        changed = np.asarray(CHANGED[change](image))
        assert seen.part(changed if changed.ndim == 3 else changed[..., None]) == part
    assert seen.changed_copies
    assert not TrainingMembership(provenance(prints=False)).changed_copies


def test_without_a_record_nothing_is_known() -> None:
    assert TrainingMembership({}).part(OTHER) == "not known"
    # A version that was made from a model without a record knows its own corrections alone.
    version = {**provenance(), "seen_not_known": True}
    assert TrainingMembership(version).part(TRAINED) == "train"
    assert TrainingMembership(version).part(OTHER) == "not known"


def test_an_image_of_one_value_is_known_by_its_shape_alone() -> None:
    flat = np.full((40, 40, 1), 7, np.uint8)
    assert len(fingerprint(flat)) == HASH
    assert near_duplicates({"a": flat_print(flat), "b": fingerprint(TRAINED)}) == []


def flat_print(image: NDArray[np.uint8]) -> str:
    return fingerprint(image)


def test_pairs_of_near_duplicates_are_told_within_a_set_and_between_two() -> None:
    prints = {"a": fingerprint(TRAINED), "b": fingerprint(OTHER), "c": fingerprint(TRAINED[::-1])}
    within = near_duplicates(prints)
    assert [(p.one, p.other, p.exact) for p in within] == [("a", "c", False)]
    between = near_duplicates(prints, {"x": fingerprint(rgb(OTHER))})
    assert [(p.one, p.other, p.exact) for p in between] == [("b", "x", True)]
    assert near_duplicates({}) == []


def test_what_the_model_that_was_started_from_was_trained_on_is_seen() -> None:
    """Parent and grandparent: their training images alone, as copies too; their judges are still unseen."""
    grandparent = provenance()
    fresh = {
        "split": Split(("own",), (), ("kept",)).to_json(),
        "image_hashes": {"own": image_hash(OTHER), "kept": image_hash(picture(4))},
        "fingerprints": {"own": fingerprint(OTHER), "kept": fingerprint(picture(4))},
    }
    parent = {**fresh, "seen_before": trained_on_before(grandparent)}
    child = {**provenance_of(picture(5)), "seen_before": trained_on_before(parent)}
    seen = TrainingMembership(child)
    for image in (TRAINED, OTHER, picture(5), rgb(TRAINED), np.ascontiguousarray(OTHER[::-1])):
        assert seen.part(image) == "train"
    assert seen.part(JUDGE) == "unseen"
    assert seen.part(picture(4)) == "unseen"
    # A judge of the child that its parent was trained on judges no more, and the split still names it.
    judge = {**provenance_of(picture(5), judge=TRAINED), "seen_before": trained_on_before(grandparent)}
    assert TrainingMembership(judge).part(TRAINED) == "train"
    assert TrainingMembership(judge).own_part("judge", TRAINED) == "held-out"
    assert TrainingMembership(judge).own_part("judge", OTHER) == ""
    assert trained_on_before({}) == {"image_hashes": {}, "fingerprints": {}}


def provenance_of(image: NDArray[np.uint8], judge: NDArray[np.uint8] | None = None) -> dict[str, object]:
    images = {"trained": image} | ({} if judge is None else {"judge": judge})
    return {
        "split": Split(("trained",), (), tuple(i for i in images if i == "judge")).to_json(),
        "image_hashes": {i: image_hash(one) for i, one in images.items()},
        "fingerprints": {i: fingerprint(one) for i, one in images.items()},
    }


def test_counts_that_differ_from_the_split_are_explained() -> None:
    own = {"a": "train", "b": "held-out", "c": "held-out", "d": "validation"}
    assert copies_note(own, own) == ""
    assert copies_note(own, {**own, "b": "train"}) == (
        "1 image that the split keeps for judging counts as trained on: it is a copy of an image that the "
        "model was trained on"
    )
    assert copies_note(own, {**own, "b": "train", "d": "train"}).startswith("2 images that the split keeps")
