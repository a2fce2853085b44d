"""Numbers that look random and are the same bits in every language.

Twins: ``tests/support/random.ts`` and ``crates/core/tests/golden/formula.rs``. Golden cases store seeds, not inputs, so
the three must agree to the bit: every step is an integer operation or one correctly rounded f32 operation.
"""

import numpy as np

WEYL = np.uint32(0x9E3779B9)
ROOT_THREE = np.float32(np.sqrt(3.0))


def mix(value: np.ndarray) -> np.ndarray:
    """A bijection of 32 bits in which every input bit moves every output bit (C. Wellons, hash-prospector)."""
    bits = np.asarray(value, dtype=np.uint32)
    bits = (bits ^ (bits >> np.uint32(16))) * np.uint32(0x21F0AAAD)
    bits = (bits ^ (bits >> np.uint32(15))) * np.uint32(0x735A2D97)
    return bits ^ (bits >> np.uint32(15))


def random_bits(seed: int, index: np.ndarray) -> np.ndarray:
    """32 random bits: numbers ``index`` of the sequence ``seed``."""
    state = mix(np.array([seed], dtype=np.uint32))
    return mix(state + np.asarray(index, dtype=np.uint32) * WEYL)


def random_uniform(seed: int, index: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) with 24 random bits, which f32 holds exactly."""
    return (random_bits(seed, index) >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def random_normal(seed: int, index: np.ndarray) -> np.ndarray:
    """Roughly normal with mean 0 and deviation 1: the sum of four uniform numbers of 21 bits, times √3."""
    total = np.full(np.shape(index), -(2**22), dtype=np.int64)
    for part in range(4):
        drawn = random_bits(seed, np.asarray(index, dtype=np.uint32) * np.uint32(4) + np.uint32(part))
        total += (drawn >> np.uint32(11)).astype(np.int64)
    return (total.astype(np.float32) * np.float32(2.0**-21)) * ROOT_THREE


def random_array(spec: dict, count: int) -> np.ndarray:
    """``count`` f32 numbers as a case describes them: ``f32(f32(number · scale) + offset)``, then the edits.

    ``spec`` has ``seed`` and may have ``distribution`` ("normal", "uniform"), ``scale``, ``offset`` and ``edits``: a
    list of ``{"start", "count", "stride", "value"}``, which overwrite elements with a constant.
    """
    index = np.arange(count)
    draw = random_uniform if spec.get("distribution") == "uniform" else random_normal
    values = draw(spec["seed"], index) * np.float32(spec.get("scale", 1)) + np.float32(spec.get("offset", 0))
    for edit in spec.get("edits", []):
        positions = edit["start"] + edit["stride"] * np.arange(edit["count"])
        values[positions] = np.float32(edit["value"])
    return values
