"""Whether there is anything in an image: told by the network, learned, saved, used, averaged, exported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.dataset import Dataset
from napari_unet.data.sample import ReferenceMask, Sample
from napari_unet.engine.inline import run_inline
from napari_unet.inference.postprocess import fade, mask_from_probabilities, without_presence
from napari_unet.models.ensemble import load_any
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.registry import architectures, build_network
from napari_unet.settings import InferenceSettings, NetworkSettings, Recipe, TrainingSettings
from napari_unet.training.losses import make_loss, presence_loss
from napari_unet.workflow.ensemble.ensemble_task import EnsembleTask
from napari_unet.workflow.segment.segment_samples import Segmentation, segment_samples
from napari_unet.workflow.train import tune_threshold
from support.errors import raises_code

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

SMALL = {"filters": 4, "depth": 2, "presence": True}
TELLING = [name for name, one in sorted(architectures().items()) if "presence" in one.settings_used]


def model_that_says(presence: float, **more: Any) -> Model:
    """A model that calls every pixel foreground at 0.9, and any image full with this probability."""
    settings = NetworkSettings(**SMALL, **more)
    network = build_network(settings)
    for name, value in (("logits", 0.9), ("presence", presence)):
        kernel, bias = network.get_layer(name).get_weights()
        network.get_layer(name).set_weights([0 * kernel, 0 * bias + np.log(value / (1 - value))])
    inference = InferenceSettings(flips="horizontal", least_presence=0.5, tile=16, overlap=4)
    return Model(Recipe(network=settings, inference=inference), Normalization(), ("thing",), network)


def images(*sides: int) -> list[Sample]:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (side, side, 1)).astype(np.uint8) for side in sides]
    return [Sample(str(n), lambda image=image: image) for n, image in enumerate(pixels)]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, {}) for name in TELLING),
        ("unet", {"separation": "distance"}),
        ("unet", {"classes": 2, "activation": "softmax"}),
    ],
)
def test_the_last_logit_is_one_for_all_pixels(name: str, more: dict[str, Any]) -> None:
    settings = NetworkSettings(name=name, **SMALL, **more)
    x = np.random.default_rng(1).standard_normal((2, 32, 32, 1)).astype(np.float32)
    logits = np.asarray(build_network(settings).predict_on_batch(x))
    assert logits.shape == (2, 32, 32, settings.outputs + 1)
    assert np.ptp(logits[..., -1], axis=(1, 2)).max() == 0
    assert logits[0, 0, 0, -1] != logits[1, 0, 0, -1]
    assert np.ptp(logits[..., 0]) > 0


def test_networks_that_do_not_tell_are_refused_by_name() -> None:
    assert {"unet", "attention_unet", "scse_unet", "encoder_unet"} == set(TELLING)
    with raises_code("settings.presence.unsupported", "segnet", "attention_unet, encoder_unet, scse_unet"):
        build_network(NetworkSettings(name="segnet", **SMALL))


def test_the_loss_by_hand() -> None:
    # Four patches: something, nothing, nothing in a quarter that is known, something in a quarter.
    classes, weights = np.zeros((4, 4, 4, 1), np.float32), np.ones((4, 4, 4, 1), np.float32)
    weights[2:, 1:] = 0
    classes[0, 3, 3] = classes[3, 0, 0] = classes[2, 2, 2] = 1  # that of the third is not known
    logits = np.broadcast_to(np.array([2.0, -1, 5, 0], np.float32)[:, None, None, None], (4, 4, 4, 1))
    wanted = [np.log1p(np.exp(-2)), np.log1p(np.exp(-1)), np.log1p(np.exp(0))]
    assert float(presence_loss(classes, weights, logits)) == pytest.approx(np.mean(wanted), rel=1e-4)
    settings = NetworkSettings(presence=True)
    loss, plain = (make_loss(one, TrainingSettings()) for one in (settings, NetworkSettings()))
    target, pixel = np.concatenate([classes, weights], -1), np.zeros_like(logits)
    both = float(loss(target, np.concatenate([pixel, logits], -1)))
    assert both - float(plain(target, pixel)) == pytest.approx(0.5 * np.mean(wanted), rel=1e-3)


def test_a_faded_image_is_empty_and_keeps_its_order() -> None:
    rng = np.random.default_rng(2)
    for threshold in (0.05, 0.35, 0.5, 0.9):
        full = rng.random((9, 9, 1), np.float32)
        full[0, 0] = 1
        faded = fade(full, 0.4999, 0.5, threshold).astype(np.float16).astype(np.float32)
        assert not mask_from_probabilities(faded, threshold).any()
        assert mask_from_probabilities(faded, 0.4 * threshold).any()
        assert np.argmax(faded) == 0
    assert fade(full, 0.5, 0.5, 0.5) is full
    two = np.full((3, 3, 2), 0.5, np.float32)
    assert mask_from_probabilities(two, 0.5, activation="softmax").all()
    assert not mask_from_probabilities(fade(two, 0.1, 0.5, 0.5), 0.5, activation="softmax").any()


def test_the_presence_of_several_tiles_is_the_highest() -> None:
    outputs = np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 12
    rest, presence = without_presence(outputs, 1)
    assert presence == pytest.approx(10 / 12)
    np.testing.assert_array_equal(rest, outputs[..., [0, 2]])


@pytest.mark.parametrize(("presence", "full"), [(0.4, False), (0.6, True)])
@pytest.mark.parametrize("more", [{}, {"separation": "distance"}])
def test_images_without_anything_get_an_empty_mask(
    presence: float, full: bool, more: dict[str, Any], tmp_path: Path
) -> None:
    save_model(model_that_says(presence, **more), tmp_path / "m")
    model = load_model(tmp_path / "m")
    for result in segment_samples(images(16, 40), model):  # one tile, several tiles
        assert result.presence == pytest.approx(presence, abs=1e-3)
        assert result.mask.all() == result.mask.any() == full
        assert result.probabilities.shape[2] == 1
        assert (result.separation is None) == (not more)
    always = model.recipe.inference.model_copy(update={"least_presence": 0.0})
    assert all(result.mask.all() for result in segment_samples(images(16), model, always))


def test_members_of_an_ensemble_are_averaged_and_one_that_does_not_tell_silences_all(tmp_path: Path) -> None:
    for number, presence in enumerate((0.1, 0.7)):
        save_model(model_that_says(presence), tmp_path / str(number))
    plain = model_that_says(0.1)
    network = NetworkSettings(**{**SMALL, "presence": False})
    save_model(
        replace(
            plain, recipe=plain.recipe.model_copy(update={"network": network}), network=build_network(network)
        ),
        tmp_path / "plain",
    )
    run_inline(EnsembleTask((tmp_path / "0", tmp_path / "1"), tmp_path / "both"))
    found = next(segment_samples(images(16), load_any(tmp_path / "both")))
    assert found.presence == pytest.approx(0.4, abs=1e-3)
    assert not found.mask.any()
    run_inline(EnsembleTask((tmp_path / "0", tmp_path / "plain"), tmp_path / "mixed"))
    assert next(segment_samples(images(16), load_any(tmp_path / "mixed"))).presence == 1


def test_onnx_tells_it_in_a_channel_of_its_own() -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from napari_unet.export.models.onnx_model import onnx_model, output_names

    for more in ({}, {"separation": "border"}, {"classes": 2, "activation": "softmax"}):
        settings = NetworkSettings(**SMALL, **more)
        names = tuple("ab"[: settings.classes])
        model = Model(Recipe(network=settings), Normalization(), names, build_network(settings, 3))
        assert output_names(model)[settings.classes] == "presence"
        x = np.random.default_rng(0).standard_normal((1, 16, 24, 1)).astype(np.float32)
        session = onnxruntime.InferenceSession(onnx_model(model).SerializeToString())
        (found,) = session.run(None, {"image": x.transpose(0, 3, 1, 2)})
        np.testing.assert_allclose(found.transpose(0, 2, 3, 1), model.outputs(x), atol=1e-4)


def test_the_least_presence_is_chosen_on_validation_images(monkeypatch: pytest.MonkeyPatch) -> None:
    full, empty = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    full[5:15, 5:15] = 1
    # Twice each: what one of four images prefers is within one standard error.
    cases = [(full, 0.8), (full, 0.62), (empty, 0.41), (empty, 0.1)] * 2
    samples = tuple(
        Sample(str(n), lambda: np.zeros((20, 20, 1), np.uint8), lambda mask=mask: ReferenceMask(mask))
        for n, (mask, _) in enumerate(cases)
    )
    # The network sees the same in all of them, so that only presence parts them: from 0.45 to 0.6.
    results = [
        Segmentation(sample, full, full[..., None] * np.float32(0.97), presence=presence)
        for sample, (_, presence) in zip(samples, cases, strict=True)
    ]
    asked: list[InferenceSettings] = []

    def segmented(
        samples: list[Sample], model: object, settings: InferenceSettings, *_: object
    ) -> Iterator[Any]:
        asked.append(settings)
        return (r for r in results if r.sample in samples)

    monkeypatch.setattr(tune_threshold, "segment_samples", segmented)
    model = model_that_says(0.4)
    data = Dataset("hand", "ultrasound-nerve", Path(), samples)
    found = tune_threshold.tune_threshold(model, data)
    assert asked[0].least_presence == 0  # or what is to be chosen would have been decided
    assert 0.45 <= found.settings.least_presence <= 0.6
    assert (found.value, found.settings.minimum_size) == (1.0, 0)
    assert (
        tune_threshold.tune_threshold(model, replace(data, samples=samples[:2])).settings.least_presence == 0
    )
