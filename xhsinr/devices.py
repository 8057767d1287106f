"""Devices that torch computes on."""

from __future__ import annotations

from xhsinr.errors import HsinrError

__all__ = ["check_device"]


def check_device(device: str) -> None:
    """Refuse a device that torch does not have; asking for the CPU does not import it.

    Raises
    ------
    HsinrError
    """
    if device in ("auto", "cpu"):
        return
    import torch

    try:
        torch.zeros(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise HsinrError(f"device {device!r} cannot be used ({error}): try auto or cpu") from error
