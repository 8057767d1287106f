from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xhsinr.tiling import Patching, Tiling, default_tile

sides = st.integers(1, 40)
tilings = st.builds(Tiling, rows=sides, cols=sides, tile=st.integers(1, 17))


@st.composite
def tilings_with_windows(draw: st.DrawFn) -> tuple[Tiling, slice, slice]:
    tiling = draw(tilings)
    rows, cols = (
        slice(*sorted((draw(st.integers(0, size)), draw(st.integers(0, size)))))
        for size in (tiling.rows, tiling.cols)
    )
    return tiling, rows, cols


@given(tilings)
def test_tiles_cover_every_pixel_once(tiling: Tiling) -> None:
    covered = np.zeros((tiling.rows, tiling.cols), int)
    for tile in range(len(tiling)):
        covered[tiling.window(tile)] += 1
        assert covered[tiling.window(tile)].shape == tiling.shape(tile)
    assert (covered == 1).all()


@given(tilings)
def test_tiles_are_numbered_row_by_row_and_no_larger_than_asked(tiling: Tiling) -> None:
    corners = [(rows.start, cols.start) for rows, cols in map(tiling.window, range(len(tiling)))]
    assert corners == sorted(corners)
    assert all(max(tiling.shape(tile)) <= tiling.tile for tile in range(len(tiling)))
    assert len(tiling) == tiling.grid[0] * tiling.grid[1]


@given(tilings_with_windows())
def test_touching_finds_exactly_the_tiles_that_share_pixels_with_a_window(
    case: tuple[Tiling, slice, slice],
) -> None:
    tiling, rows, cols = case
    inside = np.zeros((tiling.rows, tiling.cols), bool)
    inside[rows, cols] = True
    expected = [tile for tile in range(len(tiling)) if inside[tiling.window(tile)].any()]
    assert list(tiling.touching(rows, cols)) == expected


def test_a_very_large_scene_is_counted_without_listing_its_tiles() -> None:
    tiling = Tiling(2**31, 2**31, 256)
    assert len(tiling) == 2**46
    assert tiling.window(2**46 - 1) == (slice(2**31 - 256, 2**31), slice(2**31 - 256, 2**31))


@pytest.mark.parametrize("tile", [-1, 4])
def test_a_tile_outside_the_grid_is_an_index_error(tile: int) -> None:
    with pytest.raises(IndexError, match=f"tile {tile} of 4"):
        Tiling(10, 10, 5).window(tile)


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-3, 1, 1)])
def test_sizes_must_be_positive(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        Tiling(*sizes)


patchings = st.builds(
    Patching,
    rows=st.integers(1, 20),
    cols=st.integers(1, 20),
    patch=st.none() | st.integers(1, 45),
    even=st.booleans(),
)


@given(patchings, st.integers(1, 3))
def test_join_undoes_split_for_any_size(patching: Patching, planes: int) -> None:
    shape = (planes, patching.rows, patching.cols)
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    patches = patching.split(values)
    height, width = patching.shape
    assert patches.shape == (len(patching), height * width, planes)
    np.testing.assert_array_equal(patching.join(patches), values)


@given(patchings)
def test_what_a_patch_lacks_is_the_mirror_image_of_its_tile(patching: Patching) -> None:
    values = np.random.default_rng(0).integers(0, 1000, (1, patching.rows, patching.cols))
    (height, width), across = patching.shape, patching.grid[1]
    patches = patching.split(values)

    def mirrored(at: int, size: int) -> int:
        at %= 2 * size
        return at if at < size else 2 * size - 1 - at

    for number, patch in enumerate(patches):
        top, left = (number // across) * height, (number % across) * width
        for pixel in {0, width - 1, height * width - 1, height * width // 2}:
            row = mirrored(top + pixel // width, patching.rows)
            col = mirrored(left + pixel % width, patching.cols)
            assert patch[pixel, 0] == values[0, row, col]


def test_without_a_patch_size_the_tile_is_one_patch() -> None:
    patching = Patching(7, 11, None)
    assert (len(patching), patching.shape, patching.grid) == (1, (7, 11), (1, 1))
    values = np.arange(2 * 77.0).reshape(2, 7, 11)
    np.testing.assert_array_equal(patching.split(values)[0], values.reshape(2, -1).T)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 24))
def test_even_patches_are_as_many_and_no_larger_than_they_have_to_be(
    rows: int, cols: int, patch: int
) -> None:
    squares, even = Patching(rows, cols, patch), Patching(rows, cols, patch, even=True)
    assert even.grid == squares.grid
    for size, count, length in zip((rows, cols), even.grid, even.shape, strict=True):
        assert length <= patch
        # They cover the tile, each of them some of it, and shorter ones would not.
        assert (count - 1) * length < size <= count * length
        assert count * (length - 1) < size


def test_even_patches_of_whole_squares_are_the_squares() -> None:
    values = np.arange(2 * 40 * 60).reshape(2, 40, 60)
    even, squares = Patching(40, 60, 20, even=True), Patching(40, 60, 20)
    np.testing.assert_array_equal(even.split(values), squares.split(values))


@given(st.integers(600, 20_000), st.integers(600, 20_000))
def test_a_tile_of_a_large_scene_is_a_hundredth_of_it(rows: int, cols: int) -> None:
    tile = default_tile(rows, cols)
    assert 96 <= tile <= 256
    if rows * cols >= 1 << 20:
        assert tile**2 < rows * cols / 100
        # And hardly less, if it could be more.
        assert tile == 256 or tile**2 > rows * cols / 130
    else:
        assert tile == 256
