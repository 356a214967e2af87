"""The channels that a person can choose from, and what they are called."""

from __future__ import annotations

from dataclasses import dataclass

from napari_unet.data.files.channels import COLOURS


@dataclass(frozen=True)
class ImageChannels:
    """All channels of an image.

    Attributes
    ----------
    count : int
        How many there are.
    names : tuple of str
        One each; empty where they have none.
    colour : bool
        Whether they are red, green and blue of one colour.
    """

    count: int
    names: tuple[str, ...] = ()
    colour: bool = False

    def title(self, number: int) -> str:
        """What a channel is called: "2 DAPI", "1 red", "3"; they are counted from 1, as viewers do."""
        names = COLOURS if self.colour and not self.names else self.names
        name = names[number] if number < len(names) else ""
        return f"{number + 1} {name}".strip()

    def chosen(self, numbers: tuple[str, ...]) -> ImageChannels:
        """Those of them that are read, where a person chose these numbers."""
        wanted = [int(n) for n in numbers if n.isdecimal() and int(n) < self.count]
        if not wanted:
            return self
        names = tuple(self.names[n] for n in wanted) if len(self.names) == self.count else ()
        return ImageChannels(len(wanted), names)
