"""One target at most, and none that makes no sense."""

from __future__ import annotations

import inspect
import math
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xhsinr
from xhsinr.accessor import HsinrAccessor
from xhsinr.cli import scene as commands
from xhsinr.demo import synthetic_scene
from xhsinr.errors import TargetError
from xhsinr.target import PROFILES, Options, Settings, Target, decided_by, parse_target

INT16, FLOAT32 = np.dtype("i2"), np.dtype("f4")


def test_a_misspelt_parameter_is_told_the_nearest_before_anything_is_looked_at() -> None:
    there = xr.DataArray(np.ones((2, 3, 4), np.int16), dims=("band", "y", "x"))
    for door in (there.hsinr.compress, lambda path, **o: xhsinr.compress(there, path, **o)):
        with pytest.raises(TargetError, match=r"max_eror: did you mean max_error\?"):
            door("no/such/folder.hsinr", max_eror=3)
    with pytest.raises(TargetError, match="did you mean overwrite"):
        xhsinr.archive("nothing", "nowhere", overwite=True)


def test_nothing_asked_is_the_standard_profile() -> None:
    assert parse_target(INT16, {}) == Target("fidelity", psnr=45.0, sam_deg=1.0, quality="standard")


@pytest.mark.parametrize("quality", PROFILES)
def test_every_profile_is_known_and_remembers_its_name(quality: str) -> None:
    target = parse_target(INT16, {"quality": quality})
    assert target.quality == quality
    assert target.to_header() == {"quality": quality}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"psnr": 40}, Target("fidelity", psnr=40.0)),
        ({"psnr": np.float32(40.5)}, Target("fidelity", psnr=40.5)),
        ({"bpppb": 0.1}, Target("bpppb", 0.1)),
        ({"max_error": np.int64(4)}, Target("max_error", 4.0)),
        ({"lossless": True}, Target("lossless")),
        ({"lossless": np.True_}, Target("lossless")),
        ({"max_error": 0}, Target("lossless")),
    ],
)
def test_a_figure_is_taken_as_it_is(asked: dict, found: Target) -> None:
    assert parse_target(INT16, asked) == found


def test_a_bound_on_integers_is_rounded_down_and_one_on_floats_is_not() -> None:
    assert parse_target(INT16, {"max_error": 2.7}) == Target("max_error", 2.0)
    assert parse_target(INT16, {"max_error": 0.7}) == Target("lossless")
    assert parse_target(FLOAT32, {"max_error": 0.7}) == Target("max_error", 0.7)


@pytest.mark.parametrize(
    "asked",
    [{"psnr": 41.5}, {"bpppb": 0.25}, {"max_error": 3}, {"lossless": True}, {"quality": "archive"}],
)
def test_what_a_header_keeps_gives_the_same_target_again(asked: dict) -> None:
    target = parse_target(FLOAT32, asked)
    assert parse_target(FLOAT32, target.to_header()) == target


@pytest.mark.parametrize("kind", ["psnr", "max_error", "bpppb"])
@pytest.mark.parametrize(
    "value", [-1, -1e-9, math.nan, math.inf, -math.inf, True, np.True_, "40", [4], 10**400, 1j]
)
def test_a_figure_that_is_no_positive_number_is_refused_by_name(kind: str, value: object) -> None:
    with pytest.raises(TargetError, match=rf"^{kind} = .* should be"):
        parse_target(INT16, {kind: value})


@pytest.mark.parametrize("kind", ["psnr", "bpppb"])
def test_zero_is_refused(kind: str) -> None:
    with pytest.raises(TargetError, match="above zero"):
        parse_target(INT16, {kind: 0})


@pytest.mark.parametrize("value", ["no", 1, 0, None])
def test_lossless_is_true_or_false(value: object) -> None:
    with pytest.raises(TargetError, match=r"lossless = .*True or False"):
        parse_target(INT16, {"lossless": value})


@pytest.mark.parametrize(
    "asked",
    [
        {"psnr": 40, "bpppb": 0.1},
        {"psnr": 40, "lossless": True},
        {"max_error": 1, "lossless": True},
        {"quality": "standard", "psnr": 45},
        {"quality": "archive", "lossless": True},
    ],
)
def test_two_targets_at_once_are_refused_by_name(asked: dict) -> None:
    with pytest.raises(TargetError, match="given together") as caught:
        parse_target(INT16, asked)
    assert all(name in str(caught.value) for name in asked)


@pytest.mark.parametrize("quality", ["best", "", "Standard", 3])
def test_an_unknown_quality_is_refused_with_those_there_are(quality: object) -> None:
    with pytest.raises(TargetError, match="unknown") as caught:
        parse_target(INT16, {"quality": quality})
    assert all(name in str(caught.value) for name in PROFILES)


def test_one_list_gives_every_door_its_parameters() -> None:
    names = {field.name for field in fields(Settings)}
    assert set(Options.__annotations__) == names
    for door in (xhsinr.compress, xhsinr.archive, HsinrAccessor.compress):
        assert names <= set(inspect.signature(door).parameters)
    assert names <= {option.name for option in commands.compress.params}


def test_the_margin_is_that_of_the_figure_that_decides() -> None:
    standard = parse_target(INT16, {})
    assert standard.margin(45.2, 0.5) == pytest.approx(0.2)
    assert standard.margin(50, 1.1) == pytest.approx(-20 * math.log10(1.1))
    assert standard.margin(46, math.nan) == pytest.approx(1.0)
    assert decided_by({"quality": "standard"}, 45.2, 0.5) == "psnr"
    assert decided_by({"quality": "standard"}, 50.0, 0.99) == "sam_deg"
    assert decided_by({"psnr": 45}, 50.0, 0.99) is None


def test_outliers_that_raise_the_psnr_do_not_make_the_angle_decide(
    rng: np.random.Generator, tmp_path: Path
) -> None:
    scene = synthetic_scene(48, 48, 16).astype("f4") + 3000 + rng.normal(0, 100, (16, 48, 48))
    assert xhsinr.compress(scene, tmp_path / "a.hsinr", progress=False).info["decided_by"] == "psnr"
    scene[:, :2, :2] = -1e6
    with pytest.warns(UserWarning, match="counts against the range of these"):
        found = xhsinr.compress(scene, tmp_path / "b.hsinr", progress=False).info
    assert found["psnr_db"] - 45 > 20 * math.log10(1 / found["mean_sam_deg"]) > 1
    assert found["decided_by"] == "psnr"
