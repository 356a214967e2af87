from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from napari_unet.networks.sizes import InputSizes
from support.errors import raises_code

PAPER = InputSizes(multiple=16, minimum=188, offset=12, margin=92)


def test_the_tile_of_the_paper() -> None:
    assert PAPER.fits(572)
    assert PAPER.output(572) == 388
    assert PAPER.output(188) == 4
    assert not PAPER.fits(512)
    assert PAPER.at_least(512) == 524
    assert PAPER.for_output(388) == 572
    assert PAPER.for_output(389) == 588


def test_an_error_names_axis_size_rule_and_remedy() -> None:
    with raises_code("size.small") as caught:
        PAPER.check(512, "X")
    sentence = caught.value.sentence
    for part in ("512 pixels along X", "multiple of 16 plus 12", "508 or 524"):
        assert part in sentence


@given(st.integers(1, 64), st.integers(1, 300), st.integers(0, 63), st.integers(0, 100), st.integers(1, 2000))
def test_the_next_size_fits_and_is_the_next(
    multiple: int, minimum: int, offset: int, margin: int, size: int
) -> None:
    sizes = InputSizes(multiple, minimum, offset % multiple, margin)
    found = sizes.at_least(size)
    assert sizes.fits(found)
    assert found >= size
    assert not any(sizes.fits(n) for n in range(max(size, minimum), found))
