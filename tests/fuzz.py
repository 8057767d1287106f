"""Fuzz the parsers of untrusted bytes, and count.

    python tests/fuzz.py --mutations 100000            mutations drawn at random, in this process
    python tests/fuzz.py --guided detail --seconds 600 guided by coverage (needs atheris)

What a target lets through is written to tests/data/crashers/<target>/, where test_fuzz.py tries
it from then on.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

CRASHERS = Path(__file__).parent / "data" / "crashers"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=10_000, help="of each target")
    parser.add_argument("--targets", nargs="+", help="all of them without")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--guided", metavar="TARGET", help="guided by coverage, one target")
    parser.add_argument("--seconds", type=int, default=60, help="of a guided run")
    arguments = parser.parse_args()
    if arguments.guided:
        guided(arguments.guided, arguments.seconds)
        return
    from fuzz_targets import TARGETS

    failed = False
    for name in arguments.targets or TARGETS:
        failed |= not at_random(name, arguments.mutations, arguments.seed)
    sys.exit(failed)


def at_random(name: str, mutations: int, seed: int) -> bool:
    """Try mutations of a target's seeds; prints counts, and whether all were survived."""
    from fuzz_targets import TARGETS, mutate, survives

    target, rng = TARGETS[name], random.Random(f"{name} {seed}")
    seeds = target.seeds()
    assert all(survives(target, content) for content in seeds), f"{name}: a seed is refused"
    crashers, decoded = set(), 0
    before, start = peak_bytes(), time.monotonic()
    for number in range(mutations):
        content = mutate(seeds[number % len(seeds)], target, rng)
        try:
            decoded += survives(target, content)
        except BaseException as error:  # Rust's panics are no Exception
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            kind = f"{type(error).__name__}: {str(error)[:80]}"
            if kind not in crashers:
                crashers.add(kind)
                print(f"{name}: {kind}: {keep(name, content)}", flush=True)
    seconds, grown = time.monotonic() - start, peak_bytes() - before
    print(
        f"{name:17} {mutations:9,} mutations: {mutations - decoded:9,} refused, {decoded:8,} "
        f"decoded, {len(crashers)} defects, {seconds:6.1f} s, memory +{grown >> 20} MB",
        flush=True,
    )
    return not crashers


def guided(name: str, seconds: int) -> None:
    """Mutations guided by the coverage of the package's lines; stops at the first defect."""
    import atheris

    with atheris.instrument_imports(include=["xhsinr"]):
        from fuzz_targets import TARGETS, mutate, survives

    target = TARGETS[name]

    def once(content: bytes) -> None:
        try:
            survives(target, content)
        except BaseException:
            print(f"{name}: {keep(name, content)}", flush=True)
            raise

    def mutator(content: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.5:
            return bytes(atheris.Mutate(content, most))
        return mutate(content, target, rng)[:most]

    corpus = Path(tempfile.gettempdir()) / "xhsinr-fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for content in target.seeds():
        (corpus / hashlib.sha256(content).hexdigest()[:16]).write_bytes(content)
    options = [f"-max_total_time={seconds}", "-rss_limit_mb=4096", "-timeout=20"]
    longest = 4 * max(map(len, target.seeds()))
    atheris.Setup(
        [sys.argv[0], str(corpus), *options, f"-max_len={longest}", "-print_final_stats=1"],
        once,
        custom_mutator=mutator,
    )
    atheris.Fuzz()


def keep(name: str, content: bytes) -> Path:
    """Write what a target did not survive to where the tests try it again."""
    path = CRASHERS / name / hashlib.sha256(content).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
