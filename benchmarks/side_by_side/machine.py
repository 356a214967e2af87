"""What the machine can do at most: matrix products and copies, by whichever program is best at them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

SIDE = 3072
COPIED = 2**26  # numbers of 4 bytes: more than caches hold


def product_by_torch(precision: str = "float32") -> Callable[[], float]:
    """One product of two matrices of SIDE x SIDE, by PyTorch."""
    import torch

    matrix = torch.randn(SIDE, SIDE).to(getattr(torch, precision))
    out = torch.empty_like(matrix)
    return lambda: float(torch.mm(matrix, matrix, out=out)[0, 0])


def product_by_numpy() -> Callable[[], float]:
    """The same by NumPy's OpenBLAS, its own choice of kernels."""
    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    out = np.empty_like(matrix)
    return lambda: float(np.matmul(matrix, matrix, out=out)[0, 0])


def product_by_openvino(precision: str = "float32") -> Callable[[], float]:
    """The same by OpenVINO, one matrix constant and packed beforehand as weights are."""
    import openvino
    from openvino import opset13

    matrix = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    given = opset13.parameter([SIDE, SIDE], np.float32)
    program = openvino.Model([opset13.matmul(given, opset13.constant(matrix), False, False)], [given])
    hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
    compiled = openvino.Core().compile_model(program, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    request = compiled.create_infer_request()
    return lambda: float(request.infer([matrix], share_inputs=True, share_outputs=True)[0][0, 0])


def copy_by_torch() -> Callable[[], float]:
    """A copy of COPIED float32 by all cores: read once and written once."""
    import torch

    source = torch.ones(COPIED)
    target = torch.empty_like(source)
    return lambda: float(target.copy_(source)[0])


PRODUCTS: dict[str, dict[str, Callable[..., Any]]] = {
    "float32": {"PyTorch": product_by_torch, "NumPy": product_by_numpy, "OpenVINO": product_by_openvino},
    "bfloat16": {"PyTorch": product_by_torch, "OpenVINO": product_by_openvino},
}


def own_kernels() -> None:
    """Let OpenBLAS choose its kernels itself; for the processes that are started from here on."""
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)


def gflops(seconds: float) -> float:
    """Rate of a product."""
    return 2 * SIDE**3 / seconds / 1e9


def gigabytes(seconds: float) -> float:
    """Rate of a copy, read and written."""
    return 2 * 4 * COPIED / seconds / 1e9


def clock(call: Callable[[], float], times: int = 3) -> float:
    """Best of some calls, in seconds."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return min(taken)
