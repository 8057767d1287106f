"""The noise of bands is found, and weighs errors."""

from __future__ import annotations

import numpy as np
import pytest

from xhsinr.compression.noise import band_noise, band_weights


def _covariance(samples: np.ndarray) -> np.ndarray:
    return np.atleast_2d(np.cov(samples, bias=True))


def _scene(rng: np.random.Generator, noise: np.ndarray, pixels: int = 20_000) -> np.ndarray:
    sources = rng.normal(size=(4, pixels)) * 1000
    return rng.normal(size=(len(noise), 4)) @ sources + noise[:, None] * rng.normal(
        size=(len(noise), pixels)
    )


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_the_noise_of_each_band_is_found_in_any_unit(rng: np.random.Generator, unit: float) -> None:
    noise = np.geomspace(0.5, 50, 60)
    found = band_noise(_covariance(_scene(rng, noise)) * unit**2)
    # The other bands are noisy as well, so a part of the signal counts as noise.
    assert (found > 0.97 * noise * unit).all()
    assert np.median(found / noise / unit) < 1.1


def test_two_bands_leave_what_one_says_nothing_of_the_other_about(
    rng: np.random.Generator,
) -> None:
    samples = rng.normal(size=(2, 50_000)) * [[3.0], [5.0]]
    np.testing.assert_allclose(band_noise(_covariance(samples)), [3, 5], rtol=0.02)


def test_constant_and_repeated_bands_have_no_noise(rng: np.random.Generator) -> None:
    samples = _scene(rng, np.full(20, 2.0))
    samples[5] = 7.0
    samples[11] = samples[10]
    found = band_noise(_covariance(samples))
    assert not found[[5, 10, 11]].any()
    assert (np.delete(found, [5, 10, 11]) > 1.9).all()


@pytest.mark.parametrize("pixels", [1, 2, 7, 30])
def test_fewer_pixels_than_bands_tell_of_no_noise(rng: np.random.Generator, pixels: int) -> None:
    assert not band_noise(_covariance(_scene(rng, np.full(40, 2.0), pixels))).any()


def test_weights_are_inverse_to_the_noise_above_the_least() -> None:
    weights = band_weights(np.array([0.0, 1.0, 4.0, 16.0]), 1.0)
    np.testing.assert_allclose(weights / weights[-1], [16, 16, 4, 1])
    assert np.log(weights).mean() == pytest.approx(0)


def test_weights_stay_within_a_range() -> None:
    weights = band_weights(np.array([0.0, 1e9, *[1.0] * 50]), 1e-9)
    assert weights.max() == pytest.approx(16)
    assert weights.min() == pytest.approx(1 / 16)


def test_equal_noise_weighs_the_same_in_any_unit() -> None:
    for unit in (1e-20, 1.0, 1e20):
        np.testing.assert_allclose(band_weights(np.full(5, 3 * unit), unit), 1)
