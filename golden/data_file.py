"""Writes a suite: ``data/<suite>.json``, one line per case, and ``data/<suite>.bin``, the f32 values it refers to."""

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "data"

STORED_WHOLE = 1600
"""Arrays up to this many elements are stored whole."""

SAMPLED = 128
"""Of larger ones about this many elements are stored, spread evenly, besides the hash of all."""


class DataFile:
    """Collects arrays; knows where in the file each will be."""

    def __init__(self) -> None:
        self._chunks: list[np.ndarray] = []
        self._length = 0

    def add(self, values: np.ndarray | None) -> dict[str, int] | None:
        """Takes an array in and returns what the JSON file says of it; ``None`` stays ``None``.

        ``count`` elements in all; every ``stride``-th of them is stored, from element ``offset`` of the file on;
        ``hash`` is :func:`hash_bits` of all.
        """
        if values is None:
            return None
        flat = np.ascontiguousarray(values, dtype="<f4").reshape(-1)
        # An odd stride visits all positions within planes and rows whose sizes are powers of two.
        stride = 1 if flat.size <= STORED_WHOLE else (flat.size // SAMPLED) | 1
        stored = flat[::stride]
        reference = {"count": flat.size, "stride": stride, "offset": self._length, "hash": hash_bits(flat)}
        self._chunks.append(stored)
        self._length += stored.size
        return reference

    def tobytes(self) -> bytes:
        """Everything taken in, as little-endian f32."""
        return b"".join(chunk.tobytes() for chunk in self._chunks)


def hash_bits(values: np.ndarray) -> int:
    """FNV-1a of the little-endian bytes, in 32 bits, every NaN taken as 0x7fc00000."""
    bits = np.where(np.isnan(values), np.uint32(0x7FC00000), values.view("<u4")).astype("<u4")
    result = 0x811C9DC5
    for byte in bits.tobytes():
        result = ((result ^ byte) * 0x01000193) & 0xFFFFFFFF
    return result


def suite_files(name: str, header: dict[str, Any], rows: dict[str, list[dict]], data: DataFile) -> dict[Path, bytes]:
    """The two files of a suite by their paths. ``rows`` are the lists of the JSON file, one line for each entry."""
    lines = [f'  "{key}": {compact(value)},' for key, value in header.items()]
    for key, entries in rows.items():
        joined = ",\n".join(f"    {compact(entry)}" for entry in entries)
        lines.append(f'  "{key}": [\n{joined}\n  ],')
    lines[-1] = lines[-1].removesuffix(",")
    text = "{\n" + "\n".join(lines) + "\n}\n"
    return {FOLDER / f"{name}.json": text.encode(), FOLDER / f"{name}.bin": data.tobytes()}


def compact(value: Any) -> str:
    """JSON without spaces; NaN and infinities do not exist in it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
