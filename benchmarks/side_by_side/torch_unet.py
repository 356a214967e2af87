"""The practical U-Net in plain PyTorch, with the weights of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

    from side_by_side.case import Case

EPSILON, MOMENTUM = 1e-3, 0.05  # of our batch normalization, as PyTorch counts the latter


class Kinds(NamedTuple):
    """Layers of images, or of volumes."""

    conv: type[nn.Conv2d | nn.Conv3d]
    norm: type[nn.BatchNorm2d | nn.BatchNorm3d]
    up: type[nn.ConvTranspose2d | nn.ConvTranspose3d]


KINDS = {
    "2d": Kinds(nn.Conv2d, nn.BatchNorm2d, nn.ConvTranspose2d),
    "3d": Kinds(nn.Conv3d, nn.BatchNorm3d, nn.ConvTranspose3d),
}


class Block(nn.Module):
    """Two convolutions of 3 pixels either way with batch normalization around a shortcut."""

    def __init__(self, kinds: Kinds, channels: int, filters: int) -> None:
        super().__init__()
        self.conv1 = kinds.conv(channels, filters, 3, padding=1, bias=False)
        self.norm1 = kinds.norm(filters, EPSILON, MOMENTUM)
        self.conv2 = kinds.conv(filters, filters, 3, padding=1, bias=False)
        self.norm2 = kinds.norm(filters, EPSILON, MOMENTUM)
        other = channels != filters
        self.project = kinds.conv(channels, filters, 1, bias=False) if other else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, [Z,] Y, X) to (N, filters, [Z,] Y, X)."""
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.project(x))


class TorchUNet(nn.Module):
    """(N, 1, [Z,] Y, X) to logits (N, 1, [Z,] Y, X)."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.depth = depth = case.depth
        kinds = KINDS[case.dimensions]
        self.pool = nn.functional.max_pool2d if case.dimensions == "2d" else nn.functional.max_pool3d
        widths = [case.filters * 2**level for level in range(depth + 1)]
        self.down = nn.ModuleList(
            Block(kinds, 1 if n == 0 else widths[n - 1], widths[n]) for n in range(depth)
        )
        self.bottom = Block(kinds, widths[-2], widths[-1])
        self.up = nn.ModuleList(kinds.up(widths[n + 1], widths[n], 2, 2) for n in range(depth))
        self.decode = nn.ModuleList(Block(kinds, 2 * widths[n], widths[n]) for n in range(depth))
        self.head = kinds.conv(case.filters, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = self.pool(x, 2)
        x = self.bottom(x)
        for level in reversed(range(self.depth)):
            x = self.decode[level](torch.cat([skips[level], self.up[level](x)], 1))
        return self.head(x)


def torch_unet(file: Path, case: Case) -> Any:
    """The network with the weights that ``write_arrays`` left."""
    from side_by_side.torch_encoder import TorchEncoderUNet

    arrays = np.load(file)
    network = TorchEncoderUNet(case) if case.network == "encoder_unet" else TorchUNet(case)
    axes = len(case.shape)
    order = (axes + 1, axes, *range(axes))  # ([Z,] Y, X, A, B) to (B, A, [Z,] Y, X)

    def put(parameter: torch.Tensor, name: str, *, kernel: bool = False, depthwise: bool = False) -> None:
        value = arrays[name].transpose((2, 3, 0, 1) if depthwise else order) if kernel else arrays[name]
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def fill(block: Block, name: str) -> None:
        for number in (1, 2):
            put(getattr(block, f"conv{number}").weight, f"{name}_conv{number}/0", kernel=True)
            norm = getattr(block, f"norm{number}")
            parts = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
            for place, part in enumerate(parts):
                put(part, f"{name}_conv{number}_norm/{place}")
        if not isinstance(block.project, nn.Identity):
            put(block.project.weight, f"{name}_project/0", kernel=True)

    if isinstance(network, TorchEncoderUNet):
        network.fill(put)
    else:
        fill(network.bottom, "bottom")
        for level in range(network.depth):
            fill(network.down[level], f"down{level}")
    for level in range(network.depth):
        fill(network.decode[level], f"decode{level}")
        put(network.up[level].weight, f"up{level}/0", kernel=True)
        put(network.up[level].bias, f"up{level}/1")
    put(network.head.weight, "logits/0", kernel=True)
    put(network.head.bias, "logits/1")
    return network


def fused(network: TorchUNet) -> TorchUNet:
    """With batch normalization folded into the convolutions, by PyTorch's own function; for inference."""
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    network.eval()
    for block in network.modules():
        if isinstance(block, Block):
            for number in (1, 2):
                conv, norm = getattr(block, f"conv{number}"), getattr(block, f"norm{number}")
                setattr(block, f"conv{number}", fuse_conv_bn_eval(conv, norm))
                setattr(block, f"norm{number}", nn.Identity())
    return network


def torch_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Our cross entropy + Dice, for (N, 1, ...) logits and targets (N, 2, ...): class, weight."""
    classes, weights = target[:, :1], target[:, 1:]
    each = nn.functional.binary_cross_entropy_with_logits(logits, classes, reduction="none")
    entropy = (weights * each).sum() / (weights.sum() + 1e-5)
    found = torch.sigmoid(logits)
    both = (weights * found * classes).sum()
    sizes = (weights * (found + classes)).sum()
    return entropy + 1 - (2 * both + 1) / (sizes + 1)
