"""Networks run by OpenVINO: the answers are those of Keras, and always of the weights there are now."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_unet.data.sample import Sample
from napari_unet.inference.budget import NATIVE_SPARE, SPARE, TileCost
from napari_unet.models import native
from napari_unet.models.model import Model, load_model, save_model
from napari_unet.models.normalization import Normalization
from napari_unet.networks.graphs.cost import reach
from napari_unet.networks.registry import build_network, pixel_networks
from napari_unet.settings import NetworkSettings, Recipe
from napari_unet.workflow.large_images.tile_runner import is_out_of_memory
from napari_unet.workflow.segment.segment_samples import segment_samples
from support.errors import raises_code
from support.tiny_models import write_tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.slow

pytest.importorskip("openvino")

UNETS: dict[str, dict[str, Any]] = {
    "practical": {},
    "group": {"normalization": "group"},
    "paper": {"padding": "valid", "normalization": "none", "block": "plain", "dropout": 0.5},
    "softmax": {"classes": 2, "activation": "softmax", "input_channels": 3},
    "softmax-separation": {"classes": 2, "activation": "softmax", "separation": "border"},
    "star": {"separation": "star", "presence": True},
    "presence": {"classes": 2, "presence": True},
    "lite0": {"name": "encoder_unet", "encoder": "EfficientNetLite0", "filters": 2, "depth": 4},
}


@pytest.fixture(autouse=True)
def by_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(native.VARIABLE, "openvino")


def model_of(seed: int = 0, **options: Any) -> Model:
    """A model with random weights, also in its normalizations."""
    import keras

    settings = NetworkSettings(**{"filters": 4, "depth": 2, **options})
    network = build_network(settings, seed)
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.GroupNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    names = tuple(f"class {n}" for n in range(1, settings.classes + 1))
    return Model(Recipe(network=settings), Normalization(channels=settings.input_channels), names, network)


def batch(model: Model, count: int = 2, sides: tuple[int, int] = (64, 96)) -> NDArray[np.float32]:
    y, x = (model.sizes.at_least(side) for side in sides)
    shape = (count, y, x, model.normalization.channels)
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def by_keras(
    model: Model, images: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> NDArray[np.float32]:
    with monkeypatch.context() as patch:
        patch.setenv(native.VARIABLE, "keras")
        return model.outputs(images)


def check_equal(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """For two sizes and two batches: as Keras within 1e-4, not the same everywhere, and it is OpenVINO."""
    outputs = model.outputs
    assert model._native is not None
    for images in (batch(model), batch(model, 1, (96, 64))):
        wanted = by_keras(model, images, monkeypatch)
        found = outputs(images)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        classes = len(model.classes)
        np.testing.assert_array_equal(model.probabilities(images), found[..., :classes])
        rest = found.shape[-1] - classes - model.recipe.network.presence
        apart = model.predictor(separation=True, presence=False)(images)
        kept = [*range(classes), *range(found.shape[-1] - rest, found.shape[-1])]
        np.testing.assert_array_equal(apart, found[..., kept])


@pytest.mark.parametrize("options", UNETS.values(), ids=UNETS)
def test_unet(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    check_equal(model_of(**options), monkeypatch)


@pytest.mark.parametrize("name", sorted(set(pixel_networks()) - {"unet"}))
def test_every_other_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_equal(model_of(name=name, input_channels=3), monkeypatch)


@pytest.mark.parametrize(
    "options", [{"flat_levels": 1}, {"normalization": "group", "separation": "distance"}]
)
def test_networks_of_volumes(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As Keras, for two sizes; all cores answer one tile, so that one tile is in memory at a time."""
    model = model_of(dimensions="3d", **options)
    outputs = model.outputs
    assert model._native is not None
    for shape in ((1, 8, 16, 24, 1), (2, 4, 12, 8, 1)):
        images = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
        wanted, found = by_keras(model, images, monkeypatch), outputs(images)
        assert found.shape == (*shape[:-1], 1 + (model.recipe.network.separation != "none"))
        assert found.flags.c_contiguous
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert isinstance(outputs, native.NativeAnswers)
    assert outputs.in_lanes() == (outputs, 1)


def test_a_network_of_boxes_is_left_to_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(name="mask_rcnn", filters=2, separation="objects")
    images = batch(model, 1, (64, 64))
    found = model.outputs(images)
    assert model._native is None
    np.testing.assert_array_equal(found, by_keras(model, images, monkeypatch))


@pytest.mark.parametrize("name", ["unet", "segnet", "attention_unet", "unet_plus_plus", "deep_contextual"])
def test_a_part_of_a_tile_is_answered_as_on_the_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle, and where the border of the tile is that of the image; less is computed for it."""
    compiled: list[Any] = []
    real = native.compile_part
    monkeypatch.setattr(native, "compile_part", lambda *a: compiled.append(real(*a)) or compiled[-1])
    model = model_of(name=name)
    sees = reach(model.inference_network)
    assert sees is not None
    halo = -(-sees // 8) * 8
    part = (32, 48)
    tile = (part[0] + 2 * halo, part[1] + 2 * halo)
    image = np.random.default_rng(0).standard_normal((1, *tile, 1)).astype(np.float32)
    whole = model.outputs(image)
    answer = model.predictor_of_part(tile, part)
    assert compiled[0] is not None
    for y, x in [(halo, halo), (0, 0), (2 * halo, halo), (0, 2 * halo)]:
        np.testing.assert_allclose(answer(image, (y, x)), whole[:, y : y + 32, x : x + 48], atol=1e-4)


@pytest.mark.parametrize("name", ["unet", "segnet", "attention_unet", "unet_plus_plus", "deep_contextual"])
def test_where_parts_lie_alike_one_is_compiled_for_their_place(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answers are the same to the bit: which parts lie alike is another matter on each worker."""
    places: list[Any] = []
    real = native.compile_part
    monkeypatch.setattr(native, "compile_part", lambda *a: places.append(a[5:]) or real(*a))
    model = model_of(name=name)
    tile, part, halo = (96, 112), (32, 48), 32
    image = np.random.default_rng(0).standard_normal((1, *tile, 1)).astype(np.float32)
    answer = model.predictor_of_part(tile, part)
    assert places == [()]
    wanted = {at: answer(image, at) for at in [(0, 0), (halo, halo)]}
    for _ in range(2 + native.SETTLED):
        np.testing.assert_array_equal(answer(image, (halo, halo)), wanted[halo, halo])
    assert places == [(), ((halo, halo),)]
    np.testing.assert_array_equal(answer(image, (0, 0)), wanted[0, 0])
    assert places == [(), ((halo, halo),), (None,)]
    for _ in range(native.SETTLED):  # the corner, too, though its place is (0, 0)
        np.testing.assert_array_equal(answer(image, (0, 0)), wanted[0, 0])
    assert places[-1] == ((0, 0),)
    np.testing.assert_array_equal(answer(image, (0, 0)), wanted[0, 0])


def test_for_each_place_of_a_large_part_one_is_compiled_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Any] = []
    real = native.compile_part
    monkeypatch.setattr(native, "compile_part", lambda *a: places.append(a[5]) or real(*a))
    monkeypatch.setattr(native, "LARGE_PART", 32 * 48)
    model = model_of()
    image = np.random.default_rng(0).standard_normal((1, 96, 112, 1)).astype(np.float32)
    whole = model.outputs(image)
    answer = model.predictor_of_part((96, 112), (32, 48))
    for y, x in [(0, 0), (0, 0), (32, 32), (32, 32), (0, 64)]:
        np.testing.assert_allclose(answer(image, (y, x)), whole[:, y : y + 32, x : x + 48], atol=1e-4)
    assert places == [(0, 0), (32, 32), (0, 64)]


def test_where_there_is_no_memory_to_compile_again_that_is_said_and_tried_again() -> None:
    class Told:
        def __call__(self, image: Any, *offset: Any) -> str:
            return f"anywhere {offset[0].tolist()}" if offset else "here"

    built: list[Any] = [None, Told()]
    parts = native.NativeParts(Told(), lambda place: built.pop(0))  # type: ignore[arg-type]
    image = np.zeros((1, 4, 4, 1), np.float32)
    for _ in range(native.SETTLED):
        assert parts(image, (0, 0)) == "anywhere [0, 0]"
    with pytest.raises(MemoryError) as caught:
        parts(image, (0, 0))
    assert is_out_of_memory(caught.value)
    assert parts(image, (0, 0)) == "here"


def test_new_weights_are_compiled_when_they_are_asked_for_and_not_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of()
    images = batch(model)
    before = model.outputs(images)
    first = model._native
    np.testing.assert_array_equal(model.outputs(images), before)
    assert model._native is first
    weights = model.network.get_weights()
    weights[-1] += 1.0  # the bias of the logits
    model.network.set_weights(weights)
    model.weights_changed()
    after = model.outputs(images)
    assert after.mean() > before.mean()
    np.testing.assert_allclose(after, by_keras(model, images, monkeypatch), atol=1e-4)


def test_threads_take_turns() -> None:
    model = model_of()
    outputs = model.outputs
    given = [batch(model, 1, (32 * n, 64)) for n in (1, 2, 3, 4)]
    wanted = [outputs(images) for images in given]
    found: list[Any] = [None] * len(given)

    def ask(number: int) -> None:
        for _ in range(5):
            found[number] = outputs(given[number])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(given))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_request_that_ran_out_of_memory_is_replaced() -> None:
    words = "Check 'ptr' failed at src/plugins/intel_cpu/src/cpu_memory.cpp:257: Failed to allocate 9 bytes"

    class Request:
        def __init__(self, number: int) -> None:
            self.number = number

        def infer(self, inputs: list[Any], **sharing: bool) -> dict[str, Any]:
            if self.number == 0:
                raise RuntimeError(words)
            return {"probabilities": inputs[0] + 1}

    class Compiled:
        made = 0

        def create_infer_request(self) -> Request:
            self.made += 1
            return Request(self.made - 1)

    network = native.NativeNetwork(Compiled())
    images = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    with pytest.raises(RuntimeError) as caught:
        network(images)
    assert is_out_of_memory(caught.value)
    np.testing.assert_array_equal(network(images), images + 1)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_an_answer_stays_when_the_next_is_asked() -> None:
    model = model_of()
    images = batch(model)
    first = model.probabilities(images)
    kept = first.copy()
    assert (model.probabilities(images[::-1]) != kept).any()
    np.testing.assert_array_equal(first, kept)


def test_tiles_are_reckoned_with_what_it_holds() -> None:
    """One convolution of 1 to 3 channels, on a tile of 64 pixels: 1 + 3 numbers a pixel, 4 bytes each."""
    import keras

    inputs = keras.Input((None, None, 1))
    network = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
    sizes = model_of().sizes
    spared = {
        spare: TileCost.of(network, sizes, 4, 1, 3, spare=spare).by_network((64, 64)) for spare in (1.0, 1.6)
    }
    assert spared[1.0] == 64 * 64 * 4 * 4
    assert spared[1.6] == pytest.approx(1.6 * spared[1.0])
    assert NATIVE_SPARE > SPARE


def test_masks_are_those_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way of an image: tiles, blending, threshold; probabilities are kept in half precision."""
    model = load_model(write_tiny_model(tmp_path / "model"))
    image = np.random.default_rng(0).integers(0, 255, (150, 170), np.uint8)
    (found,) = segment_samples([Sample("a", lambda: image)], model)
    assert model._native is not None
    monkeypatch.setenv(native.VARIABLE, "keras")
    (wanted,) = segment_samples([Sample("a", lambda: image)], load_model(tmp_path / "model"))
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, atol=1e-3)
    unsure = abs(wanted.probabilities[..., 0] - 0.5) < 1e-3
    assert unsure.mean() < 0.01
    np.testing.assert_array_equal(found.mask[~unsure], wanted.mask[~unsure])
    assert 0.1 < found.mask.mean() < 0.9


def test_a_model_read_again_answers_to_the_bit(tmp_path: Path) -> None:
    model = model_of()
    images = batch(model)
    wanted = model.outputs(images)
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").outputs(images), wanted)


def test_a_layer_without_an_equal_is_left_to_keras() -> None:
    import keras

    inputs = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(1, 1)(keras.layers.PReLU(shared_axes=[1, 2])(inputs))
    network = keras.Model(inputs, x)
    model = Model(Recipe(), Normalization(), ("a",), network)
    images = np.ones((1, 16, 16, 1), np.float32)
    expected = 1 / (1 + np.exp(-np.asarray(network(images))))
    np.testing.assert_allclose(model.outputs(images), expected, atol=1e-6)
    assert model._native is None


def test_openvino_tells_its_makers_nothing() -> None:
    program = [
        "import sys",
        "from napari_unet.models.native import _core",
        "_core()",
        "assert 'openvino' in sys.modules",
        "import openvino.tools.ovc.telemetry_utils as used",
        "print(used.tm.__name__)",
    ]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", "; ".join(program)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | paths,
    )
    assert done.stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_precision_is_that_of_the_network() -> None:
    settings = NetworkSettings(filters=2, depth=1)
    found = {
        policy: native.precision_of(build_network(settings, precision=policy))
        for policy in ("float32", "mixed_bfloat16", "mixed_float16")
    }
    assert found == {"float32": "f32", "mixed_bfloat16": "bf16", "mixed_float16": "f16"}
    assert not native.is_wanted(build_network(settings, precision="mixed_float16"))


def test_weights_on_a_graphics_processor_are_left_to_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    network = model_of().network
    assert native.on_processor(network)
    assert native.is_wanted(network)
    monkeypatch.setattr(native, "on_processor", lambda _: False)
    assert not native.is_wanted(network)


def test_the_choice_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(native.VARIABLE)
    assert native.chosen_runtime() == "auto"
    monkeypatch.setenv(native.VARIABLE, "fastest")
    with raises_code("settings.runtime.unknown", "'fastest'", "auto or keras or openvino"):
        native.chosen_runtime()
    monkeypatch.setattr(native, "is_installed", lambda: False)
    monkeypatch.setenv(native.VARIABLE, "auto")
    assert not native.is_wanted(model_of().network)
    monkeypatch.setenv(native.VARIABLE, "openvino")
    with raises_code("settings.package.missing", "pip install 'napari-unet-workbench[fast]'"):
        native.chosen_runtime()


def test_keras_computes_where_openvino_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a library that is missing, or a processor that it does not take."""
    model = model_of()
    images = batch(model)
    wanted = by_keras(model, images, monkeypatch)

    def fail(*_: object) -> None:
        raise RuntimeError("no plugin for CPU")

    monkeypatch.setattr(native, "_compiled_there", fail)
    with pytest.raises(RuntimeError, match="no plugin"):
        model_of().outputs(images)
    monkeypatch.setenv(native.VARIABLE, "auto")
    np.testing.assert_array_equal(model.outputs(images), wanted)


def test_lanes_answer_as_all_cores_together() -> None:
    from concurrent.futures import ThreadPoolExecutor

    model = model_of(classes=2, presence=True)
    outputs = model.probabilities
    assert isinstance(outputs, native.NativeAnswers)
    answer, count = outputs.in_lanes()
    assert 1 <= count <= native.MOST_LANES
    given = [np.roll(batch(model), n, axis=1) for n in range(6)]
    with ThreadPoolExecutor(4) as pool:
        for images, found in zip(given, pool.map(answer, given), strict=True):
            assert found.shape[-1] == 2
            np.testing.assert_allclose(found, outputs(images), atol=1e-5)


def test_one_core_has_no_lanes() -> None:
    class Compiled:
        def create_infer_request(self) -> None:
            return None

        def get_property(self, name: str) -> int:
            return {"INFERENCE_NUM_THREADS": 1}[name]

    def again(count: int) -> None:
        pytest.fail("nothing is compiled again")

    network = native.NativeNetwork(Compiled(), again)
    answers = network.some([0])
    assert answers.in_lanes() == (answers, 1)
