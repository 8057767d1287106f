"""A Gaussian-mixture model of reflectance that predicts a band from those before it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["Reflectance"]

Plane = npt.NDArray[np.float64]

_GAUSSIANS = 6
# Bands whose values tell the Gaussian of a pixel, and those that the prediction is made of.
_SEEN, _USED = 4, 2


class Reflectance:
    """Mixture of Gaussians over pixels, one for a material, that goes along with the bands.

    The vectors are the values of a pixel in the last four bands. Each new band brings one step
    of expectation maximisation, which starts at the pixels' shares in the Gaussians as they were
    one band before. In each Gaussian a linear regression says how the last band followed from
    the two before it; taken one band further it predicts the next.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns.
    noise : float
        Variance of the decoded samples' errors. It keeps the covariances regular, and makes the
        regression lean towards the mean of the bands that it uses.
    """

    def __init__(self, shape: tuple[int, int], noise: float) -> None:
        self.bands: list[Plane] = []
        self._shape, self._noise = shape, noise
        self._shares = np.zeros((_GAUSSIANS, 0))

    def add(self, band: Plane) -> None:
        """The next band, as decoded."""
        self.bands.append(band)
        if len(self.bands) == _SEEN:
            # Start: equally many pixels a Gaussian, from dark to bright.
            ranks = np.argsort(np.argsort(self._vectors(0, _SEEN).sum(0), kind="stable"))
            classes = ranks * _GAUSSIANS // ranks.size
            self._shares = np.eye(_GAUSSIANS)[:, classes]
        if len(self.bands) >= _SEEN:
            self._shares = _expectation(self._vectors(0, _SEEN), self._shares, self._noise)

    def references(self) -> tuple[Plane, Plane]:
        """The last band, and the prediction of the next; the same until there are four."""
        before = self.bands[-1] if self.bands else np.zeros(self._shape)
        if len(self.bands) < _SEEN:
            return before, before
        seen, used = self._vectors(1, _USED), self._vectors(0, _USED)
        following = before.ravel()
        predicted = np.zeros(before.size)
        for share in self._shares:
            weight = share.sum() + 1e-9
            centre, mean = seen @ share / weight, following @ share / weight
            centred = seen - centre[:, None]
            power = (centred * share) @ centred.T + weight * self._noise * np.eye(_USED)
            product = (centred * share) @ (following - mean) + weight * self._noise / _USED
            slopes = np.linalg.solve(power, product)
            predicted += share * (mean + slopes @ (used - centre[:, None]))
        return before, predicted.reshape(self._shape)

    def _vectors(self, back: int, count: int) -> Plane:
        """Bands as vectors, shape (count, pixels), the last first, from ``back`` before it."""
        end = len(self.bands) - back
        return np.stack([band.ravel() for band in self.bands[end - count : end][::-1]])


def _expectation(vectors: Plane, shares: Plane, noise: float) -> Plane:
    """One step of expectation maximisation: shares of the pixels in the Gaussians."""
    logs = np.empty_like(shares)
    for log, share in zip(logs, shares, strict=True):
        weight = share.sum() + 1e-9
        centred = vectors - (vectors @ share / weight)[:, None]
        covariance = (centred * share) @ centred.T / weight + noise * np.eye(len(vectors))
        root = np.linalg.cholesky(covariance)
        distance = np.square(np.linalg.solve(root, centred)).sum(0)
        log[:] = np.log(weight) - np.log(np.diag(root)).sum() - 0.5 * distance
    likelihood = np.exp(logs - logs.max(0))
    return np.asarray(likelihood / likelihood.sum(0))
