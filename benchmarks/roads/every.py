"""All roads, in the order of their letters."""

from __future__ import annotations

from roads import jpg_folder, nuclei_count, saved_stack, scribbles, slide, two_channels

EVERY = (
    nuclei_count.ROAD,
    saved_stack.ROAD,
    slide.ROAD,
    scribbles.ROAD,
    jpg_folder.ROAD,
    two_channels.ROAD,
)
