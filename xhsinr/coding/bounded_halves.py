"""Bands as the loops have them: of each row the even columns first, then the odd ones."""

from __future__ import annotations

from typing import Any

from numba import njit

__all__ = ["halve", "join"]


@njit(cache=True, nogil=True, error_model="numpy")
def halve(plane: Any, halves: Any) -> None:
    """Copy a band of the shape (rows, cols) into one whose columns are sorted.

    Parameters
    ----------
    plane : ndarray of any type, shape (rows, cols)
    halves : ndarray, shape (rows, cols)
        Set to the same values.
    """
    rows, cols = plane.shape
    half = (cols + 1) >> 1
    for y in range(rows):
        row, evens, odds = plane[y], halves[y, :half], halves[y, half:]
        for i in range(len(evens)):
            evens[i] = row[2 * i]
        for i in range(len(odds)):
            odds[i] = row[2 * i + 1]


@njit(cache=True, nogil=True, error_model="numpy")
def join(halves: Any, below: Any, plane: Any) -> None:
    """The reverse of `halve`, of a sum of two bands."""
    rows, cols = plane.shape
    half = (cols + 1) >> 1
    for y in range(rows):
        row, evens, odds = plane[y], halves[y, :half], halves[y, half:]
        under, beneath = below[y, :half], below[y, half:]
        for i in range(len(odds)):
            row[2 * i] = evens[i] + under[i]
            row[2 * i + 1] = odds[i] + beneath[i]
        for i in range(len(odds), len(evens)):
            row[2 * i] = evens[i] + under[i]
