"""Mutations of everything that is parsed, and all that once got through: see fuzz.py."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_targets import TARGETS, mutate, survives

HERE = Path(__file__).parent
CRASHERS = sorted(path for path in (HERE / "data" / "crashers").glob("*/*") if path.is_file())
FAST = ("container", "mask", "latents", "detail", "network")
MUTATIONS = {name: 20_000 if name in FAST else 1_000 for name in TARGETS}
# Each takes milliseconds; what they decode is decoded by other targets too.
MUTATIONS |= {name: 200 for name in TARGETS if name.startswith("tiles-")}


def fuzz(*arguments: str, seconds: int) -> str:
    done = subprocess.run(
        [sys.executable, str(HERE / "fuzz.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_decode(name: str) -> None:
    target = TARGETS[name]
    assert all(survives(target, content) for content in target.seeds())


@pytest.mark.parametrize("mutations", sorted(set(MUTATIONS.values())))
def test_mutations_do_no_harm(mutations: int) -> None:
    names = [name for name in TARGETS if MUTATIONS[name] == mutations]
    lines = fuzz("--mutations", str(mutations), "--targets", *names, seconds=600).splitlines()
    assert [line.split()[0] for line in lines] == names
    assert all(f" {mutations:,} mutations" in line and " 0 defects" in line for line in lines)


def test_no_change_of_a_file_goes_unnoticed() -> None:
    target, rng = TARGETS["container"], random.Random(1)
    seeds = target.seeds()
    for number in range(20_000):
        content = mutate(seeds[number % len(seeds)], target, rng)
        assert survives(target, content) == (content in seeds)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_hundred_thousand_mutations_do_no_harm(name: str) -> None:
    assert " 0 defects" in fuzz("--mutations", "100000", "--targets", name, seconds=3600)


@pytest.mark.parametrize("path", CRASHERS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_did_harm_does_not_again(path: Path) -> None:
    survives(TARGETS[path.parent.name], path.read_bytes())
