"""Each program as a function from images to probabilities; imports are inside, as each has its process."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from side_by_side.case import Case

    Run = Callable[[np.ndarray], np.ndarray]
    Step = Callable[[np.ndarray, np.ndarray], float]

VOLUMES = 5  # axes of a batch of them
RATE, DECAY, CLIP = 2e-3, 1e-4, 1.0  # AdamW as our recipes have it


def _model(folder: Path, precision: str, runtime: str) -> Any:
    os.environ["NAPARI_UNET_RUNTIME"] = runtime
    from napari_unet.models.model import load_model

    return load_model(folder / "model", precision)


def _whole_way(model: Any) -> Run:
    """Images to masks as people do it; gives the probabilities, so that they can be compared."""
    from napari_unet.data.sample import Sample
    from napari_unet.workflow.segment.segment_samples import segment_samples

    def run(images: np.ndarray) -> np.ndarray:
        if images.ndim == VOLUMES:
            samples = [sample for volume in images for sample in slices_of(volume)]
        else:
            samples = [Sample(str(n), partial(images.__getitem__, n)) for n in range(len(images))]
        found = np.stack([result.probabilities for result in segment_samples(samples, model)])
        return found.reshape(*images.shape[:-1], -1)

    return run


def _channels_last(case: Case) -> Any:
    import torch

    return torch.channels_last if case.dimensions == "2d" else torch.channels_last_3d


def slices_of(volume: np.ndarray) -> list[Any]:
    """The slices of a volume as samples that know their place in it."""
    from napari_unet.data.sample import Sample

    name = f"volume {id(volume)}"
    others: dict[int, SliceOfVolume] = {}
    others |= {z: SliceOfVolume(volume, z, name, others) for z in range(len(volume))}
    return [Sample(f"{name} {z}", load, original=load) for z, load in others.items()]


class SliceOfVolume:
    """Gives a slice, (Y, X, C), and says where it lies."""

    def __init__(self, volume: np.ndarray, z: int, name: str, others: dict[int, SliceOfVolume]) -> None:
        self.volume, self.z, self.name, self.others = volume, z, name, others

    def __call__(self) -> np.ndarray:
        """The slice."""
        return np.asarray(self.volume[self.z])

    @property
    def place(self) -> Any:
        """Where it lies."""
        from napari_unet.data.volumes.slices import Place

        return Place(self.name, self.z, self.others, (None, self.name))


def ours(folder: Path, case: Case, precision: str) -> Run:
    """``segment_samples``: images to masks, with all that we have."""
    return _whole_way(_model(folder, precision, "auto"))


def ours_network(folder: Path, case: Case, precision: str) -> Run:
    """``Model.probabilities`` alone."""
    return _model(folder, precision, "auto").probabilities  # type: ignore[no-any-return]


def ours_keras(folder: Path, case: Case, precision: str) -> Run:
    """``Model.probabilities`` computed by Keras."""
    return _model(folder, precision, "keras").probabilities  # type: ignore[no-any-return]


def onnx_runtime(folder: Path, case: Case, precision: str) -> Run:
    """Our ONNX file by ONNX Runtime, its settings as they come."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images.transpose(case.first)})[0].transpose(case.last)


def openvino(folder: Path, case: Case, precision: str) -> Run:
    """Our ONNX file by OpenVINO, compiled for this batch and size alone."""
    import openvino

    core = openvino.Core()
    program = core.read_model(folder / "model.onnx")
    program.reshape([case.batch, 1, *case.shape])
    hint = "bf16" if precision == "mixed_bfloat16" else "f32"
    compiled = core.compile_model(program, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    request = compiled.create_infer_request()
    return lambda images: request.infer([images.transpose(case.first)])[0].transpose(case.last)


def torch_eager(folder: Path, case: Case, precision: str, *, compiled: bool = False) -> Run:
    """PyTorch, channels last, batch normalization fused."""
    import torch

    from side_by_side.torch_unet import fused, torch_unet

    network: Any = fused(torch_unet(folder / "arrays.npz", case)).to(memory_format=_channels_last(case))
    if compiled:
        torch._inductor.config.freezing = True
        network = torch.compile(network)
    halved = precision == "mixed_bfloat16"

    def run(images: np.ndarray) -> np.ndarray:
        # (N, Y, X, 1) seen as (N, 1, Y, X) is channels last.
        given = torch.from_numpy(images).permute(case.first)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=halved):
            found = torch.sigmoid(network(given).float())
        return np.asarray(found.permute(case.last))

    return run


def torch_compiled(folder: Path, case: Case, precision: str) -> Run:
    """The same by torch.compile, weights frozen."""
    return torch_eager(folder, case, precision, compiled=True)


def train_ours(folder: Path, case: Case, precision: str) -> Step:
    """One step of ours, by Keras."""
    from napari_unet.models.model import load_model
    from napari_unet.settings import TrainingSettings
    from napari_unet.training.fit import compile_network
    from napari_unet.training.losses import make_loss

    model = load_model(folder / "model", precision)
    settings = TrainingSettings(learning_rate=RATE, weight_decay=DECAY, gradient_norm=CLIP)
    compile_network(model.network, make_loss(model.recipe.network, settings), settings)

    def step(images: np.ndarray, targets: np.ndarray) -> float:
        return float(np.ravel(model.network.train_on_batch(images, targets))[0])

    return step


def train_torch(folder: Path, case: Case, precision: str, *, compiled: bool = False) -> Step:
    """The same step in PyTorch: AdamW without decay of biases and normalizations, gradients cut."""
    import torch

    from side_by_side.torch_unet import torch_loss, torch_unet

    network = torch_unet(folder / "arrays.npz", case).to(memory_format=_channels_last(case)).train()
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, RATE, eps=1e-7)
    halved = precision == "mixed_bfloat16"
    forward: Any = torch.compile(network) if compiled else network

    def step(images: np.ndarray, targets: np.ndarray) -> float:
        given, wanted = (torch.from_numpy(a).permute(case.first) for a in (images, targets))
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=halved):
            logits = forward(given)
        loss = torch_loss(logits.float(), wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    return step


def train_torch_compiled(folder: Path, case: Case, precision: str) -> Step:
    """The same by torch.compile."""
    return train_torch(folder, case, precision, compiled=True)


INFERENCE = {
    "ours, image to mask": ours,
    "ours, network alone": ours_network,
    "ours, computed by Keras": ours_keras,
    "OpenVINO": openvino,
    "ONNX Runtime": onnx_runtime,
    "PyTorch eager": torch_eager,
    "PyTorch compiled": torch_compiled,
}
TRAINING = {
    "ours": train_ours,
    "PyTorch eager": train_torch,
    "PyTorch compiled": train_torch_compiled,
}
NEEDS = {"OpenVINO": "openvino", "ONNX Runtime": "onnxruntime", "PyTorch": "torch"}
WITH_BFLOAT16 = {
    "ours, image to mask",
    "ours, network alone",
    "ours, computed by Keras",
    "OpenVINO",
    "PyTorch eager",
    "PyTorch compiled",
}


def is_here(name: str) -> bool:
    """Whether what a row needs is installed."""
    from importlib.util import find_spec

    return all(find_spec(package) is not None for row, package in NEEDS.items() if name.startswith(row))
