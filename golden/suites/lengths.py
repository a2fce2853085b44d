"""Shapes that meet every block, tail and leaf of the kernels: odd lengths, one channel, many channels, two values."""

from itertools import product

from case import Batch, Case, case


def cases() -> list[Case]:
    """All of them."""
    return [*odd_lengths(), *two_values(), *leaves(), *large()]


def odd_lengths() -> list[Case]:
    """Lengths around the lane width, the leaf of 32 values and the block of 1024."""
    lengths = (1, 2, 3, 7, 31, 32, 33, 49, 100, 1024, 1025, 3000)
    return [
        case(
            f"N {n}, C {c}, L {length}", Batch((n, c, length), x={"offset": 0.7}), Batch((n, c, length), training=False)
        )
        for length, (n, c) in product(lengths, ((2, 1), (5, 3), (3, 17)))
    ]


def two_values() -> list[Case]:
    """The smallest batch that can be trained on: the unbiased variance is twice the biased one."""
    return [
        case(f"two values, {list(shape)}", Batch(shape)) for shape in ((2, 3), (1, 3, 2), (2, 3, 1, 1), (1, 1, 1, 2))
    ]


def leaves() -> list[Case]:
    """Batches that end inside a leaf of several samples, and in a tree that is not full."""
    shapes = [(31, 3), (33, 5), (97, 2), (1000, 4), (11, 3, 5), (37, 2, 3, 3), (13, 4, 6, 6)]
    return [case(f"leaves, {list(shape)}", Batch(shape)) for shape in shapes]


def large() -> list[Case]:
    """Planes of many blocks, and more channels than one group holds."""
    shapes = [(2, 2, 96, 97), (8, 70, 7, 7), (3, 130, 14, 14), (600, 33)]
    return [case(f"large, {list(shape)}", Batch(shape, x={"offset": -1.5, "scale": 2})) for shape in shapes]
