"""Score planes of a tile as symbols: the order of bands, their means, and what predicts what.

The coarse images of all components come first, then level after level from coarse to fine, and
within a level component after component: what is coarse is known everywhere when finer details
are predicted. All planes are in units of the quantiser's step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from xhsinr.coding.planes_bands import decode_band, encode_band, symbol_room
from xhsinr.coding.planes_odds import MARGIN, Neighbours, Network, Room, fixed_inputs
from xhsinr.coding.planes_prediction import FINEST_UNPREDICTED, STRENGTHS, Predictor
from xhsinr.entropy import rans
from xhsinr.errors import DamagedSidecarError
from xhsinr.network.prior import INPUTS, MEAN_SYMBOLS, Prior, bits_of_odds
from xhsinr.transform.wavelet import LEVELS, analyse, band_shape, gain, synthesise

__all__ = ["WORTH", "PlaneDecoder", "PlaneEncoder", "Record", "decompose"]

WORTH = 0.11
"""What a bit costs the quantiser, in squared steps."""

_NO_MEAN = -20  # code of the mean of a band that is zero or is not there
_MEAN_START = -6  # expected of a band when neither parent nor the component before has any
_MIDDLE = MEAN_SYMBOLS // 2
_LARGEST_MEAN = 127  # magnitude of a code; the prior's sums are exact with it
_COUNT = 16  # bits of the number of components

_WEAK = 0.005  # share of a level's energy that coarse reads do without

NOTHING = np.zeros((0, 0))
"""What is predicted of a band where nothing is."""

_CHOICES = np.array([10924, 10922, 10922], np.uint16)  # frequencies of `STRENGTHS`

ROUNDED_UP = 0.35
"""Fraction of a step from which a magnitude counts as the next one in a band's mean."""

_NO_RECORD = np.empty((0, INPUTS + 1), np.int16), np.empty(0, np.uint8)

Planes = npt.NDArray[np.float64]
Values = npt.NDArray[Any]
Symbols = npt.NDArray[np.uint16]


class _Bands:
    """The bands of a tile, as far as they are coded: what encoder and decoder have in common."""

    def __init__(self, components: int, rows: int, cols: int, prior: Prior) -> None:
        self.components, self.rows, self.cols = components, rows, cols
        self.prior, self.network = prior, Network.of(prior)
        self.means = np.full((LEVELS + 2, components, 3), _NO_MEAN)
        self._none_before = np.full(LEVELS + 2, _NO_MEAN)
        self.magnitudes = [self._blank(level) for level in range(LEVELS + 1)]
        self.earlier = [self._zeros(m.shape[1:], np.float32) for m in self.magnitudes]

    def _zeros(self, shape: Sequence[int], dtype: Any = np.float64) -> npt.NDArray[Any]:
        return np.zeros(shape, dtype)

    def _blank(self, level: int) -> npt.NDArray[np.float32]:
        if level == 0:
            rows, cols = band_shape(self.rows, self.cols, LEVELS, 0)
        else:
            rows, cols = band_shape(self.rows, self.cols, level, 0)
        shape = self.components, 3 if level else 1, rows + 2 * MARGIN, cols + 2 * MARGIN
        return self._zeros(shape, np.float32)

    def shape(self, level: int, orientation: int) -> tuple[int, int]:
        """Shape of a band; level 0 is the coarse image."""
        return band_shape(self.rows, self.cols, level or LEVELS, orientation)

    def planes(self, left_out: int = 0) -> list[Planes]:
        """Code all bands, and make the planes of what they decode to.

        Parameters
        ----------
        left_out : int
            So many of the finest levels are not coded, and of the level before them nothing of
            components that are weak there: planes are those of that level.
        """
        coarse = []
        for component in range(self.components):
            values = self.band(component, 0, 0, NOTHING)
            coarse.append(values / gain(LEVELS, 0))
        coded = self.components
        for level in range(LEVELS, left_out, -1):
            predictor = None
            if level < FINEST_UNPREDICTED and self.components > 1:
                predictor = self._predictor(coarse, level)
            finer: list[Planes] = []
            energies = np.zeros(self.components)
            for component in range(self.components):
                expected = [NOTHING] * 3
                if component < coded and predictor and component and coarse[component].any():
                    expected = self._expected(component, level, predictor, finer)
                bands = []
                for orientation in (1, 2, 3):
                    if component >= coded:
                        bands.append(self._zeros(self.shape(level, orientation)))
                        continue
                    guess = expected[orientation - 1]
                    values = self.band(component, level, orientation, guess)
                    decoded = values if guess is NOTHING else values + guess
                    if left_out:
                        energies[component] += np.vdot(decoded, decoded)
                    bands.append(decoded / gain(level, orientation))
                finer.append(self._synthesise(coarse[component], *bands))
            coarse = finer
            if left_out and level == left_out + 2:
                coded = _strong(energies)  # what comes after them ends the stream
        return coarse

    def _predictor(self, coarse: list[Planes], level: int) -> Any:
        return Predictor(coarse, level)

    def _synthesise(self, coarse: Planes, *bands: Planes) -> Planes:
        return synthesise(coarse, *bands)

    def _expected(
        self, component: int, level: int, predictor: Predictor, finer: list[Planes]
    ) -> list[Planes]:
        """What is predicted of a component's three bands; nothing if it is not worth it."""
        raise NotImplementedError

    def band(self, component: int, level: int, orientation: int, expected: Planes) -> Values:
        """Code a band, and return what it decodes to, less what was predicted."""
        index = max(orientation - 1, 0)
        if component > 3 and index == 0:
            self.earlier[level] += self.magnitudes[level][component - 4]
        rows, cols = self.shape(level, orientation)
        if rows == 0 or cols == 0:
            return self._zeros((rows, cols))
        return self._code(component, level, index, expected)

    def _code(self, component: int, level: int, index: int, expected: Planes) -> Values:
        raise NotImplementedError

    def _fixed(
        self, component: int, level: int, index: int, expected: Planes
    ) -> npt.NDArray[np.float32]:
        """See `fixed_inputs`."""
        parent = level + 1 if level else LEVELS + 1
        now = self.means[:, component, index]
        before = self.means[:, component - 1, index] if component else self._none_before
        codes = int(now[level]), int(now[parent]), int(before[level]), int(before[parent])
        orientation = index + 1 if level else 0
        fixed: npt.NDArray[np.float32] = fixed_inputs(
            level, orientation, component, self.components, codes, expected is not NOTHING
        )
        return fixed

    def _near(self, component: int, level: int, index: int, expected: Planes) -> Neighbours:
        return Neighbours(
            self.magnitudes[level],
            self.magnitudes[level + 1] if 0 < level < LEVELS else self.magnitudes[0][:0],
            self.earlier[level][index],
            component,
            index,
            expected,
            self.prior.fixed_biases(self._fixed(component, level, index, expected)),
        )

    def _mean_expected(self, component: int, level: int, index: int) -> tuple[int, int]:
        """Code of the mean that a band probably has, and which table its difference has."""
        before = self.means[level, component - 1, index] if component else _NO_MEAN
        parent = self.means[level + 1, component, index] if level else _NO_MEAN
        context = int(before == _NO_MEAN) + 2 * int(parent == _NO_MEAN)
        guesses = ((3 * before + 2 * (parent - 2)) // 5, parent - 2, before, _MEAN_START)
        return int(guesses[context]), context


class PlaneDecoder(_Bands):
    """Decodes the planes of a tile.

    Parameters
    ----------
    content : bytes
        From `PlaneEncoder.content`.
    most : int
        Components of the scene's basis.

    Raises
    ------
    DamagedSidecarError
        If no encoder writes such bytes.
    """

    def __init__(self, content: bytes, most: int, rows: int, cols: int, prior: Prior) -> None:
        try:
            self._coder = rans.Decoder(content)
        except ValueError as error:
            raise DamagedSidecarError(f"the planes of a tile are damaged: {error}") from error
        components = self._coder.raw(_COUNT)
        if components > most:
            raise DamagedSidecarError(
                f"a tile declares {components} components, the scene has {most}: the file "
                "is damaged"
            )
        super().__init__(components, rows, cols, prior)

    def _code(self, component: int, level: int, index: int, expected: Planes) -> Values:
        guess, context = self._mean_expected(component, level, index)
        symbol = self._coder.symbol(self.prior.means[context])
        rows, cols = self.shape(level, index + 1 if level else 0)
        if symbol == 0:
            return self._zeros((rows, cols))
        mean = guess + symbol - _MIDDLE
        if abs(mean) > _LARGEST_MEAN:
            raise DamagedSidecarError(f"a band of a tile has the mean {mean}, which none has")
        self.means[level, component, index] = mean
        near = self._near(component, level, index, expected)
        coder = self._coder
        state, coder.left, values = decode_band(
            coder.state, coder.words, coder.left, rows, cols, near, self.network, Room.of(cols)
        )
        coder.state = np.uint64(state)
        return np.asarray(values)

    def _expected(
        self, component: int, level: int, predictor: Predictor, finer: list[Planes]
    ) -> list[Planes]:
        strength = STRENGTHS[self._coder.symbol(_CHOICES)]
        if not strength:
            return [NOTHING] * 3
        return [strength * band for band in predictor.predict(component, finer)]

    def check(self) -> None:
        """Raise `DamagedSidecarError` if the bytes went on, or ended before the planes did."""
        if not self._coder.finished:
            raise DamagedSidecarError("the planes of a tile do not end where they should")


class Record:
    """What an encoder saw of coefficients, for training.

    Attributes
    ----------
    inputs : list of ndarray of int16, shape (n, INPUTS + FIXED)
        Of each band, in units of ``2**-5``.
    kinds : list of ndarray of uint8, shape (n,)
        Classes of the coefficients.
    means : list of (context, symbol)
        Of each band's mean.
    """

    def __init__(self) -> None:
        self.inputs: list[npt.NDArray[np.int16]] = []
        self.kinds: list[npt.NDArray[np.uint8]] = []
        self.means: list[tuple[int, int]] = []
        self._band = _NO_RECORD

    def room(self, coefficients: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
        """Where `encode_band` writes inputs and classes of a band."""
        inputs = np.empty((coefficients, INPUTS + 1), np.int16)
        self._band = inputs, np.empty(coefficients, np.uint8)
        return self._band

    def keep(self, fixed: npt.NDArray[np.float32]) -> None:
        """Take in the band that was written last, with what is the same for its groups."""
        inputs, kinds = self._band
        rows = np.concatenate([inputs[:, :INPUTS], fixed[inputs[:, INPUTS]]], axis=1)
        self.inputs.append(rows.astype(np.int16))
        self.kinds.append(kinds)


class PlaneEncoder(_Bands):
    """Codes the planes of a tile.

    Parameters
    ----------
    planes : ndarray of float64, shape (components, rows, cols)
        In steps.
    worth : float
        See `WORTH`.
    record : Record, optional
        Takes what the coefficients look like.
    """

    def __init__(
        self, planes: Planes, prior: Prior, worth: float = WORTH, record: Record | None = None
    ) -> None:
        self._targets = [decompose(plane, self._analyse) for plane in planes]
        live = [i for i, bands in enumerate(self._targets) if any(map(_matters, bands.values()))]
        _, rows, cols = planes.shape
        super().__init__(max(live, default=-1) + 1, rows, cols, prior)
        self._worth, self._record = worth, record
        self._costs = bits_of_odds()
        self._room = symbol_room(math.prod(self.magnitudes[1].shape[2:]))
        count = np.empty((_COUNT, 2), np.uint16)
        self._symbols = [count[: rans.put_raw(count, 0, self.components, _COUNT)]]

    def _code(self, component: int, level: int, index: int, expected: Planes) -> Values:
        guess, context = self._mean_expected(component, level, index)
        orientation = index + 1 if level else 0
        target = self._targets[component][level, orientation]
        if expected is not NOTHING:
            target = target - expected
        mean = self._mean(target)
        if mean > 0:
            code = min(int(np.rint(2 * np.log2(mean))), _LARGEST_MEAN)
            symbol = min(max(code - guess + _MIDDLE, 1), MEAN_SYMBOLS - 1)
            self.means[level, component, index] = guess + symbol - _MIDDLE
            near = self._near(component, level, index, expected)
            symbols, values, saved = self._encode(target, near)
            if saved > 0 or not self._worth:
                self._put_mean(context, symbol)
                self._symbols.append(symbols)
                if self._record:
                    self._record.keep(self._fixed(component, level, index, expected))
                return values
            self.means[level, component, index] = _NO_MEAN
            self.magnitudes[level][component, index] = 0
        self._put_mean(context, 0)
        return self._zeros(target.shape)

    def _expected(
        self, component: int, level: int, predictor: Predictor, finer: list[Planes]
    ) -> list[Planes]:
        predicted = predictor.predict(component, finer)
        costs = self._bits([self._targets[component][level, o] for o in (1, 2, 3)], predicted)
        choice = int(np.argmin(costs))
        self._symbols.append(np.array([[_CHOICES[:choice].sum(), _CHOICES[choice]]], np.uint16))
        if not choice:
            return [NOTHING] * 3
        return [STRENGTHS[choice] * band for band in predicted]

    def _put_mean(self, context: int, symbol: int) -> None:
        frequencies = self.prior.means[context].astype(int)
        pair = [frequencies[:symbol].sum(), frequencies[symbol]]
        self._symbols.append(np.array([pair], np.uint16))
        if self._record:
            self._record.means.append((context, symbol))

    def _analyse(self, plane: Planes) -> tuple[Planes, Planes, Planes, Planes]:
        return analyse(plane)

    def _mean(self, target: Planes) -> float:
        """Mean magnitude of a band, about as it will be quantised."""
        return float(np.abs(np.floor(np.abs(target) + ROUNDED_UP)).mean())

    def _bits(self, targets: list[Planes], predicted: list[Planes]) -> list[float]:
        """About how many bits three bands take with each of `STRENGTHS`."""
        return [sum(map(_cost, targets, predicted, [strength] * 3)) for strength in STRENGTHS]

    def _encode(self, target: Planes, near: Neighbours) -> tuple[Symbols, Values, int]:
        """Symbols of a band, what it decodes to, and what it saves; see `encode_band`."""
        inputs, kinds = self._record.room(target.size) if self._record else _NO_RECORD
        n, values, saved = encode_band(
            target,
            near,
            self.network,
            Room.of(target.shape[1]),
            self._costs,
            self._worth,
            self._room,
            inputs,
            kinds,
        )
        return self._room[:n].copy(), values, saved

    def content(self) -> bytes:
        """The symbols coded so far, as bytes."""
        pairs = np.concatenate(self._symbols)
        return rans.finish(*rans.take(pairs[:, 0].copy(), pairs[:, 1].copy()))


def decompose(
    plane: Planes, analyse: Callable[[Planes], Sequence[Planes]] = analyse
) -> dict[tuple[int, int], Planes]:
    """Bands of a plane by level and orientation, of gain 1."""
    bands = {}
    for level in range(1, LEVELS + 1):
        plane, *details = analyse(plane)
        for orientation, detail in enumerate(details, 1):
            bands[level, orientation] = detail * gain(level, orientation)
    bands[0, 0] = plane * gain(LEVELS, 0)
    return bands


@njit(cache=True, nogil=True)
def _cost(target: Any, predicted: Any, strength: float) -> float:
    """About how many bits a band takes, less what is predicted of it."""
    rows, cols = target.shape
    total, sizes = 0.0, np.empty(cols, np.float32)
    for y in range(rows):
        for x in range(cols):
            left = np.float32(target[y, x] - strength * predicted[y, x])
            sizes[x] = np.float32(1) + np.float32(2.25) * left * left
        logs = sizes.view(np.int32)  # exponent and mantissa: close to the logarithm
        for x in range(cols):
            total += logs[x] * 2.0**-23 - 127
    return total


def _strong(energies: npt.NDArray[np.float64]) -> int:
    """How many components have nearly all of the energy of a level, and so of the one below."""
    later = np.cumsum(energies[::-1])[::-1]
    return int(np.count_nonzero(later > _WEAK * energies.sum()))


def _matters(band: Planes) -> bool:
    """Whether a coefficient of a band may differ from zero once quantised."""
    return bool((abs(band) >= 0.5).any())
