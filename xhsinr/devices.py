"""Devices that torch computes on."""

from __future__ import annotations

from ctypes.util import find_library
from importlib.util import find_spec

from xhsinr.errors import HsinrError

__all__ = ["asks_for_gpu", "check_device", "need_torch"]


def asks_for_gpu(device: str) -> bool:
    """Whether a device is one of torch, and not the processor."""
    return device not in ("auto", "cpu")


def need_torch(what: str) -> None:
    """Say how to install torch where it is missing; ``what`` it is for, as "to train".

    Raises
    ------
    HsinrError
    """
    if find_spec("torch") is None:
        raise HsinrError(f"torch is needed {what}: pip install 'xhsinr[torch]'")


def check_device(device: str) -> None:
    """Refuse a device that torch does not have; asking for the CPU does not import it.

    Raises
    ------
    HsinrError
    """
    if not asks_for_gpu(device):
        return
    if device.startswith("cuda") and find_spec("torch") is None and find_library("cuda") is None:
        raise HsinrError(
            f"device {device!r} cannot be used: this machine has no driver of an NVIDIA GPU, nor "
            "torch: leave the device out"
        )
    need_torch(f"for the device {device!r}")
    import torch

    try:
        torch.zeros(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise HsinrError(f"device {device!r} cannot be used ({error}): try auto or cpu") from error
