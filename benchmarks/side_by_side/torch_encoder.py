"""The U-Net decoder on EfficientNet-Lite0 in plain PyTorch, with the weights of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from napari_unet.networks.encoders.efficientnet_lite import EPSILON, STAGES, STEM
from napari_unet.networks.encoders.vgg import PREFIX
from side_by_side.torch_unet import KINDS, MOMENTUM, Block

if TYPE_CHECKING:
    from collections.abc import Callable

    from side_by_side.case import Case


class Convolution(nn.Module):
    """A convolution and its normalization; padded as Keras does it, more behind than in front."""

    def __init__(self, channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(filters, EPSILON, MOMENTUM)
        front, behind = (kernel - stride) // 2, (kernel - stride + 1) // 2
        if front == behind:
            self.conv.padding = (front, front)
        self.pad = None if front == behind else (front, behind, front, behind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, Y, X) to (N, filters, Y / stride, X / stride)."""
        return self.norm(self.conv(x if self.pad is None else nn.functional.pad(x, self.pad)))


class Bottleneck(nn.Module):
    """An inverted bottleneck."""

    def __init__(self, channels: int, filters: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = channels * expansion
        self.expand = Convolution(channels, inside, 1) if expansion > 1 else None
        self.depthwise = Convolution(inside, inside, kernel, stride, inside)
        self.project = Convolution(inside, filters, 1)
        self.around = stride == 1 and channels == filters

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, Y, X) to (N, filters, Y / stride, X / stride)."""
        y = x if self.expand is None else nn.functional.relu6(self.expand(x))
        y = self.project(nn.functional.relu6(self.depthwise(y)))
        return y + x if self.around else y


class TorchEncoderUNet(nn.Module):
    """(N, 1, Y, X) to logits (N, 1, Y, X)."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.depth, kinds = case.depth, KINDS["2d"]
        self.stem = Convolution(1, STEM, 3, 2)
        blocks: list[nn.Module] = []
        self.ends: list[int] = []  # the last block of each size
        channels, halved = STEM, 1
        for stage in STAGES:
            halved += stage.stride == 2
            if halved > case.depth:
                break
            if len(self.ends) == halved:  # a later stage of the same size
                self.ends.pop()
            for place in range(stage.blocks):
                stride = stage.stride if place == 0 else 1
                blocks.append(Bottleneck(channels, stage.filters, stage.kernel, stride, stage.expansion))
                channels = stage.filters
            self.ends.append(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)
        skips = [self.blocks[end].project.conv.out_channels for end in self.ends]
        ups, decode = [], []
        for level in reversed(range(case.depth)):
            filters = case.filters * 2**level
            ups.append(kinds.up(channels, filters, 2, 2))
            decode.append(Block(kinds, filters + (skips[level - 1] if level else 0), filters))
            channels = filters
        self.up, self.decode = nn.ModuleList(ups[::-1]), nn.ModuleList(decode[::-1])
        self.head = kinds.conv(case.filters, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        x, skips = nn.functional.relu6(self.stem(x)), []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.ends:
                skips.append(x)
        for level in reversed(range(self.depth)):
            x = self.up[level](x)
            x = self.decode[level](torch.cat([skips[level - 1], x], 1) if level else x)
        return self.head(x)

    def fill(self, put: Callable[..., None]) -> None:
        """Take the weights of the encoder by the names of our layers."""

        def one(convolution: Convolution, name: str, *, depthwise: bool = False) -> None:
            put(convolution.conv.weight, f"{PREFIX}{name}/0", kernel=True, depthwise=depthwise)
            norm = convolution.norm
            for place, part in enumerate((norm.weight, norm.bias, norm.running_mean, norm.running_var)):
                put(part, f"{PREFIX}{name}_norm/{place}")

        one(self.stem, "stem")
        for number, block in enumerate(self.blocks):
            if block.expand is not None:
                one(block.expand, f"block{number}_expand")
            one(block.depthwise, f"block{number}_depthwise", depthwise=True)
            one(block.project, f"block{number}_project")
