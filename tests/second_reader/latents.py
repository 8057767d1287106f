"""Section 13 of the page: coding latents."""

from __future__ import annotations

from typing import Any

import numpy as np

from second_reader.coder import RangeDecoder
from second_reader.networks import named, network

__all__ = ["LatentsCodec"]


class LatentsCodec:
    def __init__(self, about: dict[str, Any], arrays: dict[str, Any], frame: Any) -> None:
        self.about, self.frame = about["settings"], frame
        self.arrays = {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in arrays.items()
        }

    @classmethod
    def read(cls, codec: Any, frame: Any, networks: Any) -> Any:
        about, arrays = network(named(codec, networks))
        assert about["kind"] == "siren"
        return cls(about, arrays, frame)

    def __call__(self, parts: dict[str, bytes], rows: int, cols: int, valid: Any) -> Any:
        dtype, bands, low, high = self.frame
        side = self.about["patch"]
        height, width = (side, side) if side else (rows, cols)
        down, across = -(-rows // height), -(-cols // width)
        coder = RangeDecoder(parts["latents"])
        planes = np.empty((bands, down * height, across * width), np.float32)
        for y in range(down):
            for x in range(across):
                patch = self.patch(self.vector(coder), height, width)[:, :bands]
                shaped = patch.T.reshape(bands, height, width)
                planes[:, y * height : (y + 1) * height, x * width : (x + 1) * width] = shaped
        assert coder.ended
        scaled = planes[:, :rows, :cols] * np.float32(float(high) - float(low) or 1)
        clipped = np.clip(scaled + np.float32(low), low, high)
        return clipped.astype(dtype) if dtype.kind == "f" else np.rint(clipped).astype(dtype)

    def vector(self, coder: RangeDecoder) -> Any:
        moved = coder.raw(4) - 8
        tables = self.arrays["tables"]
        n = tables.shape[1]
        integers = []
        for number in self.arrays["latent_tables"].tolist():
            symbol = coder.symbol(tables[min(max(number + moved, 0), len(tables) - 1)])
            value = symbol - (n - 2) // 2
            if symbol == n - 1:
                value = int.from_bytes([coder.raw(8) for _ in range(4)], "little", signed=True)
            integers.append(value)
        return np.array(integers, np.float32) * self.arrays["latent_steps"]

    def patch(self, vector: Any, height: int, width: int) -> Any:
        a, s = self.arrays, self.about
        y, x = np.divmod(np.arange(height * width), width)
        centres = np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], 1)
        beta = (a["shift.weight"] @ vector + a["shift.bias"]).reshape(s["layers"], s["width"])
        points = centres.astype(np.float32) @ a["first.weight"].T + a["first.bias"]
        h = np.sin(np.float32(s["w0_first"]) * points + beta[0])
        for i in range(s["layers"] - 1):
            points = h @ a["hidden.weight"][i].T + a["hidden.bias"][i]
            h = np.sin(np.float32(s["w0"]) * points + beta[i + 1])
        return h @ a["output.weight"].T + a["output.bias"]
