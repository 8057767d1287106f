"""The integers of a tile's latents, whatever the base network: the same on every machine."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xhsinr.coding import contexts
from xhsinr.coding import old_latents as latents
from xhsinr.reading.reader import Reader
from xhsinr.tiling import Patching

__all__ = ["latent_integers"]


def latent_integers(reader: Reader, number: int) -> npt.NDArray[np.int32]:
    """Those of one tile of a file, none where it has no latents."""
    coding, coded = reader.codec.latents, reader.sidecar.payload(number).get("latents")
    if coding is None or not coded:
        return np.zeros(0, np.int32)
    network, shape = coding.network, reader.tiling.shape(number)
    patching = Patching(*shape, network.patch, even=network.contexts is not None)
    if network.contexts is None:
        return latents.decode(coded, len(patching), network, coding.level)
    outputs = min(network.siren.outputs, reader.codec.basis.components)
    return contexts.decode(coded, outputs, patching.grid, network.contexts, patching.shape)
