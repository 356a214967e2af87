"""All roads, in the order of their letters."""

from __future__ import annotations

from roads import jpg_folder, nuclei_count

EVERY = (nuclei_count.ROAD, jpg_folder.ROAD)
