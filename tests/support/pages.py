"""Pages of reports, read as a browser does, and masks of which a known share is foreground."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

SHAPE = (8, 8)


def half(share: float) -> np.ndarray:
    """A mask of which a share, from the left, is foreground."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, : round(8 * share)] = 1
    return mask


class Reader(HTMLParser):
    """Follows the tags of a page and what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader
