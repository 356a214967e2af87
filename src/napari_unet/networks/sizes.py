"""Which input sizes a network takes, and what size comes out."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.errors import SizeError


@dataclass(frozen=True)
class InputSizes:
    """The sizes, along one axis, that a network takes.

    A size n fits if n >= minimum and n = offset modulo multiple; n - 2 * margin pixels come out.

    Attributes
    ----------
    multiple : int
        Step between sizes that fit (2 ** depth for a U-Net).
    minimum : int
        The smallest size that fits.
    offset : int
        Remainder of every size that fits, divided by `multiple`.
    margin : int
        Pixels lost at either end (0 with same padding, 92 in the U-Net of the paper).
    grid : int
        Shifts of the image by this many pixels only shift the answer, if it is more than `multiple`.
    along_z : InputSizes or None
        The sizes along Z of a network that takes volumes; None for one that takes images.
    """

    multiple: int = 1
    minimum: int = 1
    offset: int = 0
    margin: int = 0
    grid: int = 1
    along_z: InputSizes | None = None

    def per_axis(self, axes: int) -> tuple[InputSizes, ...]:
        """The sizes of each axis of an image, (Y, X), or of a volume, (Z, Y, X)."""
        if axes == 2:
            return self, self
        assert self.along_z is not None
        return self.along_z, self, self

    @property
    def step(self) -> int:
        """Pixels between tiles must be a multiple of this for them to agree."""
        return max(self.multiple, self.grid)

    def fits(self, size: int) -> bool:
        """Whether the network takes this size."""
        return size >= self.minimum and size % self.multiple == self.offset % self.multiple

    def at_least(self, size: int) -> int:
        """The smallest size that fits and is not below `size`."""
        size = max(size, self.minimum)
        return size + (self.offset - size) % self.multiple

    def for_output(self, size: int) -> int:
        """The smallest input size that gives at least `size` pixels of output."""
        return self.at_least(size + 2 * self.margin)

    def output(self, size: int) -> int:
        """Output size for an input size that fits.

        Raises
        ------
        SizeError
            If the size does not fit; the message names axis-free size, multiple and remedy.
        """
        self.check(size)
        return size - 2 * self.margin

    def check(self, size: int, axis: str = "Y or X") -> None:
        """Raise SizeError unless the network takes this size.

        Raises
        ------
        SizeError
            Naming axis, size, what would fit, and the nearest sizes that do.
        """
        if self.fits(size):
            return
        above = self.at_least(size)
        below = above - self.multiple
        nearest = f"{below} or {above}" if below >= self.minimum else f"{above}"
        remainder = self.offset % self.multiple
        rule = f"a multiple of {self.multiple}" + (f" plus {remainder}" if remainder else "")
        raise SizeError(
            f"the network cannot take {size} pixels along {axis}",
            code="size.small",
            expected=f"at least {self.minimum} and {rule}",
            got=str(size),
            remedy=f"pad or crop to {nearest}, or let overlap tiling do it",
        )
