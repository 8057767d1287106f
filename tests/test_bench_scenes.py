"""Scenes of the benchmark that no file holds: the whole of Indian Pines, and mosaics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from xhsinr.bench.scenes import load_scene, mosaic
from xhsinr.bench.spectra import angles, noise_ratio
from xhsinr.errors import SceneError


def test_the_whole_of_indian_pines_comes_with_its_classes(tmp_path: Path) -> None:
    scene = load_scene(tmp_path, "indian_pines")
    assert (scene.cube.shape, scene.cube.dtype) == ((145, 145, 200), np.uint16)
    assert (int(scene.cube.min()), int(scene.cube.max())) == (955, 9604)
    assert scene.labels is not None
    assert sorted(np.unique(scene.labels)) == list(range(17))
    assert scene.benchmark == "indian_pines"


def test_the_crop_of_indian_pines_lies_in_the_whole(scenes: Path) -> None:
    whole = load_scene(scenes, "indian_pines")
    np.testing.assert_array_equal(
        whole.cube[30:115, 25:95], load_scene(scenes, "indian_pines_part").cube
    )
    assert "indian_pines_part" in whole.same_site


def test_a_mosaic_has_the_crop_in_eight_orientations() -> None:
    cube = np.arange(3 * 4 * 2).reshape(3, 4, 2)
    made = mosaic(cube, 8)
    assert made.shape == (8, 8, 2)
    np.testing.assert_array_equal(made[:3, :3], cube[:, :3])
    np.testing.assert_array_equal(made[3:6, :3], np.rot90(cube[:, :3]))
    np.testing.assert_array_equal(made[:3, 3:6], np.rot90(cube[:, :3][:, ::-1]))
    assert set(np.unique(made[:3, :3])) == set(np.unique(made[3:6, 3:6]))


@pytest.mark.parametrize("name", ["a@", "a@x", "a@0", "a@100000"])
def test_a_mosaic_of_no_size_is_refused(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2), np.int16))
    with pytest.raises(SceneError, match="NAME@SIDE"):
        load_scene(tmp_path, name)


def test_angles_and_noise_are_those_of_known_errors(rng: np.random.Generator) -> None:
    signal = rng.normal(size=(64, 64, 3)) @ rng.normal(size=(3, 20)) * 100 + 1000
    noisy = signal + rng.normal(scale=2, size=signal.shape)
    decoded = noisy + rng.normal(scale=1, size=signal.shape)
    assert noise_ratio(noisy, decoded) == pytest.approx(0.5, rel=0.1)
    np.testing.assert_allclose(angles(noisy, noisy), 0, atol=1e-6)
    square = np.array([[[1.0, 0.0]]])
    tilted = np.array([[[np.cos(np.radians(3)), np.sin(np.radians(3))]]])
    np.testing.assert_allclose(angles(square, tilted), [3.0])
