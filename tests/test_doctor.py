"""``xhsinr doctor``: what works here, what does not, and what to set."""

from __future__ import annotations

import subprocess

import pytest
from click.testing import CliRunner, Result

from xhsinr.cli import main
from xhsinr.gdal import doctor, vrt


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(vrt.TRUSTED_MODULES_OPTION, "")


def run() -> Result:
    return CliRunner().invoke(main, ["doctor"])


@pytest.fixture
def _no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)


@pytest.mark.usefixtures("_no_programs")
def test_all_is_well_with_rasterio_alone() -> None:
    found = run()
    assert found.exit_code == 0
    assert found.output.count("ok  ") == 3
    assert "reads sidecars" in found.output
    assert "no gdal_translate on the PATH" in found.output


@pytest.mark.usefixtures("_no_programs")
def test_other_values_than_were_compressed_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    read = doctor._read
    monkeypatch.setattr(doctor, "_read", lambda path: read(path) + 1)
    found = run()
    assert found.exit_code == 1
    assert "reads other values than were compressed" in found.output
    assert "FAIL a damaged file" not in found.output


def test_a_program_that_reads_only_with_the_right_environment_is_told_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = doctor.needed_environment()
    monkeypatch.setattr(doctor.shutil, "which", lambda _: "/opt/gdal_translate")
    real = subprocess.run

    def program(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if command[0] != "/opt/gdal_translate":
            return real(command, **options)
        if "--version" in command:
            return subprocess.CompletedProcess(command, 0, "GDAL 3.6.2, released", "")
        if not needed.items() <= options["env"].items():
            return subprocess.CompletedProcess(command, 1, "", "ERROR 1: not trusted")
        out = doctor.np.arange(doctor.np.prod(doctor._SHAPE), dtype=doctor.np.uint16)
        out.tofile(command[-1])
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(doctor.subprocess, "run", program)
    found = run()
    assert found.exit_code == 0
    assert "ok   /opt/gdal_translate (GDAL 3.6.2): reads sidecars where this" in found.output
    # One line, for one command: exported, it lets any VRT run code.
    line = " ".join(f"{name}={value}" for name, value in needed.items())
    assert line in map(str.strip, found.output.splitlines())
    assert "export" not in found.output
