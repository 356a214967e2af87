"""The device on which Keras computes decides on the precision, whoever asks."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_unet.data.catalog import open_dataset
from napari_unet.data.sample import Sample
from napari_unet.engine import hardware
from napari_unet.engine.inline import run_inline
from napari_unet.errors import Cancelled
from napari_unet.models import native
from napari_unet.models.ensemble import Ensemble, Member
from napari_unet.models.normalization import Normalization
from napari_unet.session.auto_project import own_projects
from napari_unet.settings import InferenceSettings
from napari_unet.workflow import doctor
from napari_unet.workflow.ensemble.ensemble_task import Chosen, ensemble_of
from napari_unet.workflow.finetune.fine_tune_task import FineTuneTask
from napari_unet.workflow.inputs.image_reference import refer
from napari_unet.workflow.segment.predict_task import PredictTask
from napari_unet.workflow.segment.segment_samples import GPU_BATCH_PIXELS, segment_samples
from napari_unet.workflow.train.recipes import fit_recipe, recipe
from support.tiny_models import write_tiny_model

SOURCE = Path(hardware.__file__).parents[1]
CARDS = {"NVIDIA A100": "mixed_bfloat16", "Tesla T4": "mixed_float16", "Tesla P100": "float32"}


@pytest.fixture(params=list(CARDS))
def card(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A graphics processor, beside a processor that says the opposite."""
    name = str(request.param)
    features = frozenset({"amx_bf16"} if name == "Tesla P100" else ())
    monkeypatch.setattr(hardware, "working_gpu", lambda: name)
    monkeypatch.setattr(hardware, "processor_features", lambda: features)
    return name


def test_training_takes_the_precision_of_the_card(card: str, salt_folder: Path) -> None:
    fitted = fit_recipe(recipe("fast"), open_dataset(salt_folder))
    assert fitted.training.precision == CARDS[card]


def test_segmenting_takes_precision_and_batches_of_the_card(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Cache:
        def load(self, path: Path, precision: str) -> Any:
            asked.append(precision)
            raise Cancelled

    monkeypatch.setattr("napari_unet.workflow.segment.predict_task.warm_models", Cache)
    sample = Sample("a", lambda: np.zeros((16, 16, 1), np.uint8))
    task = PredictTask(tmp_path, (refer(sample, None),), tmp_path, InferenceSettings())
    with pytest.raises(Cancelled):
        run_inline(task)
    assert asked == [CARDS[card]]
    taken: list[int] = []
    monkeypatch.setattr(
        "napari_unet.workflow.segment.network_answers._by_one",
        lambda samples, model, settings, *rest: taken.append(settings.batch_pixels) or [],
    )
    from napari_unet.models.model import load_model

    list(segment_samples([sample], load_model(write_tiny_model(tmp_path / "m"))))
    assert taken == [GPU_BATCH_PIXELS]


def test_fine_tuning_loads_the_model_in_the_precision_of_the_card(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def load(path: Path, precision: str) -> Any:
        asked.append(precision)
        raise Cancelled

    monkeypatch.setattr("napari_unet.workflow.finetune.fine_tune_task.load_model", load)
    with pytest.raises(Cancelled):
        run_inline(FineTuneTask(tmp_path, (), tmp_path / "new"))
    assert asked == [CARDS[card]]


def test_every_member_of_an_ensemble_computes_in_the_precision_of_the_card(
    card: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "napari_unet.models.ensemble.load_model", lambda path, precision: asked.append(precision)
    )
    members = [Member(Path(name), 0.5) for name in "ab"]
    settings: Any = (recipe("fast"), Normalization(), ("a",), {})
    made = ensemble_of(members, [settings, settings], Chosen(("a", "b"), (0.5, 0.5)), "uniform")
    assert isinstance(made, Ensemble)
    assert len(list(made.models())) == 2
    assert asked == [CARDS[card]] * 2


DEVICES = [("CPU", "mixed_bfloat16", "OpenVINO"), *((name, kind, "Keras") for name, kind in CARDS.items())]


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
@pytest.mark.parametrize(("name", "precision", "runtime"), DEVICES)
def test_the_doctor_tells_what_would_be_done(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, backend: str, name: str, precision: str, runtime: str
) -> None:
    """A processor with bfloat16 beside an old card, or alone; one without it beside the others."""
    cards = [] if name == "CPU" else [name]
    listed = [SimpleNamespace(device_type="CPU"), *(SimpleNamespace(device_type="GPU") for _ in cards)]
    details = SimpleNamespace(get_device_details=lambda device: {"device_name": name})
    config = SimpleNamespace(list_physical_devices=lambda: listed, experimental=details)
    cuda = SimpleNamespace(device_count=lambda: len(cards), get_device_name=cards.__getitem__)
    apple = SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False))
    fakes = {
        "keras": SimpleNamespace(backend=SimpleNamespace(backend=lambda: backend)),
        "tensorflow": SimpleNamespace(config=config),
        "jax": SimpleNamespace(devices=lambda: [SimpleNamespace(device_kind=n) for n in cards or ["cpu"]]),
        "torch": SimpleNamespace(cuda=cuda, backends=apple),
    }
    for module, fake in fakes.items():
        monkeypatch.setitem(sys.modules, module, fake)

    def run(command: list[str], **options: Any) -> Any:
        exec(command[-1], {})
        return SimpleNamespace(stdout=capsys.readouterr().out, stderr="", returncode=0)

    monkeypatch.delenv("KERAS_TORCH_DEVICE", raising=False)
    monkeypatch.delenv(native.VARIABLE, raising=False)
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(native, "is_installed", lambda: True)
    monkeypatch.setattr(doctor, "configured_backend", lambda: "a fake")
    features = frozenset({"amx_bf16"} if name in ("CPU", "Tesla P100") else ())
    monkeypatch.setattr(doctor, "processor_features", lambda: features)
    found = doctor.probe_backend()
    assert (found["backend"], found["precision"], found["inference"]) == (backend, precision, runtime)
    if backend == "torch" and cards:  # a person may turn the card off
        monkeypatch.setenv("KERAS_TORCH_DEVICE", "cpu")
        found = doctor.probe_backend()
        assert (found["devices"], found["inference"]) == (["CPU"], "OpenVINO")


@pytest.mark.parametrize(
    ("device", "by_openvino"),
    [
        ("/job:localhost/replica:0/task:0/device:CPU:0", True),  # as TensorFlow, JAX and PyTorch say it
        ("cpu", True),
        ("/job:localhost/replica:0/task:0/device:GPU:0", False),
        ("cuda:0", False),
        ("mps:0", False),
    ],
)
@pytest.mark.parametrize("runtime", ["auto", "openvino"])
def test_openvino_takes_no_work_from_a_card(
    monkeypatch: pytest.MonkeyPatch, device: str, by_openvino: bool, runtime: str
) -> None:
    monkeypatch.setattr(native, "is_installed", lambda: True)
    monkeypatch.setenv(native.VARIABLE, runtime)
    weight = SimpleNamespace(value=SimpleNamespace(device=device))
    for precision in ("float32", "bfloat16"):
        layers = [SimpleNamespace(compute_dtype=precision)]
        images, volumes = (SimpleNamespace(shape=(None,) * ndim) for ndim in (4, 5))
        for inputs in (images, volumes):
            network = SimpleNamespace(weights=[weight], layers=layers, inputs=[inputs])
            assert native.is_wanted(network) is by_openvino


def test_nobody_decides_on_a_precision_but_by_the_one_function() -> None:
    """`precision_for` takes a device from whoever calls it: only the doctor, who asks another process."""
    callers, arguments = set(), []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "func", None)
            called = getattr(name, "id", getattr(name, "attr", ""))
            if called == "precision_for":
                callers.add(path.relative_to(SOURCE).as_posix())
            elif called == "default_precision":
                arguments += [(path.name, len(node.args) + len(node.keywords))]  # type: ignore[attr-defined]
    assert callers == {"engine/hardware.py", "workflow/doctor.py"}
    assert len(arguments) > 20
    assert all(count == 0 for _, count in arguments)


def test_projects_of_the_tests_are_not_among_the_persons(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On every system alike: platformdirs heeds other variables on Windows than on Linux, none on macOS."""
    from platformdirs import user_data_path

    assert own_projects().is_relative_to(tmp_path_factory.getbasetemp())
    assert not own_projects().is_relative_to(user_data_path("napari-unet"))
