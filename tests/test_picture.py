"""Pictures: the right bands, stretched, black where nothing is known."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from xhsinr.pictures.encoded import png_bytes
from xhsinr.pictures.picture import limits, picture_bands, stretched


def test_the_bands_nearest_to_red_green_and_blue_are_chosen() -> None:
    micrometres = np.linspace(0.4, 2.4, 201)
    assert picture_bands(np.ones(201, bool), micrometres) == [25, 15, 5]


def test_bands_without_a_valid_sample_are_passed_over() -> None:
    live = np.ones(201, bool)
    live[15] = False
    chosen = picture_bands(live, np.linspace(0.4, 2.4, 201))
    assert chosen[1] in (14, 16)
    chosen = picture_bands(np.array([False, True, True, True, False]), None)
    assert set(chosen) <= {1, 2, 3}


@pytest.mark.parametrize("bands", [1, 2, 3, 50])
def test_without_wavelengths_three_bands_are_spread_over_all(bands: int) -> None:
    red, green, blue = picture_bands(np.ones(bands, bool), None)
    assert bands > red >= green >= blue >= 0


def test_infrared_wavelengths_alone_give_false_colours() -> None:
    chosen = picture_bands(np.ones(40, bool), np.linspace(1.0, 2.4, 40))
    assert len(set(chosen)) == 3


def test_a_scene_without_any_valid_sample_is_black() -> None:
    planes = np.full((3, 3, 5), np.nan)
    nothing = np.zeros(planes.shape, bool)
    picture = stretched(planes, nothing, limits(planes, nothing))
    assert picture.shape == (3, 5, 3)
    assert picture.dtype == np.uint8
    assert not picture.any()


def test_each_plane_is_stretched_between_its_percentiles() -> None:
    plane = np.arange(100.0).reshape(10, 10)
    planes = np.stack([plane, plane * 7 - 3, np.full((10, 10), 5.0)])
    valid = np.ones(planes.shape, bool)
    found = limits(planes, valid)
    assert found[0] == pytest.approx((np.percentile(plane, 2), np.percentile(plane, 98)))
    picture = stretched(planes, valid, found)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[9, 9].tolist() == [255, 255, 0]
    assert np.array_equal(picture[..., 0], picture[..., 1])


def test_pixels_with_an_invalid_sample_are_black() -> None:
    planes = np.ones((3, 2, 2)) * np.arange(4).reshape(2, 2)
    valid = np.ones(planes.shape, bool)
    valid[1, 1, 1] = False
    assert not stretched(planes, valid, limits(planes, valid))[1, 1].any()


def test_a_png_holds_the_picture(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, (5, 9, 3), np.uint8)
    assert np.array_equal(imagecodecs.png_decode(png_bytes(picture)), picture)
    assert np.array_equal(imagecodecs.png_decode(png_bytes(picture[:, ::-2])), picture[:, ::-2])
