"""Inputs on which a careless sum loses its digits, and inputs with values that are no numbers."""

from case import Batch, Case, case, edited

SHAPE = (6, 3, 8, 8)
PLANE = 64
CHANNEL_STRIDE = 3 * PLANE


def cases() -> list[Case]:
    """All of them."""
    return [*offsets(), *outliers(), *constants(), *scales(), *non_finite()]


def offsets() -> list[Case]:
    """A mean far above the deviation."""
    pairs = [(1e4, 1e-2), (1e4, 1.0), (-1e4, 1.0), (1e6, 1.0), (1e6, 100.0), (50.0, 1.0)]
    return [
        case(f"mean {mean:g}, deviation {std:g}", spread := Batch(SHAPE, x={"offset": mean, "scale": std}), spread)
        for mean, std in pairs
    ]


def outliers() -> list[Case]:
    """One value far from all others, first, last, or in the first of many blocks."""
    last = SHAPE[0] * CHANNEL_STRIDE - 1
    return [
        case("outlier first", Batch(SHAPE, x=edited((0, 1, 1, 1e6)))),
        case("outlier last", Batch(SHAPE, x=edited((last, 1, 1, -1e6)))),
        case("outlier first, mean 10000, deviation 1", Batch(SHAPE, x=edited((0, 1, 1, -1e4), offset=1e4))),
        case("outlier first of several blocks", Batch((2, 1, 5000), x=edited((0, 1, 1, 1e6)))),
    ]


def constants() -> list[Case]:
    """Channels without any deviation; the variance must be 0, not a small negative number."""
    planes = [(PLANE + i * CHANNEL_STRIDE, PLANE, 1, 0.1) for i in range(SHAPE[0])]
    everywhere = (0, SHAPE[0] * CHANNEL_STRIDE, 1)
    return [
        case("one constant channel", Batch(SHAPE, x=edited(*planes))),
        case("constant 10000.1", Batch(SHAPE, x=edited((*everywhere, 10000.1)))),
        case("constant 0", Batch(SHAPE, x=edited((*everywhere, 0)))),
        case("constant, two values", Batch((2, 3), x=edited((0, 6, 1, 0.3)))),
    ]


def scales() -> list[Case]:
    """Magnitudes whose squares are still normal f32 numbers, and one whose squares are not."""
    return [case(f"deviation {scale:g}", Batch(SHAPE, x={"scale": scale})) for scale in (1e15, 1e-15, 1e-22)]


def non_finite() -> list[Case]:
    """A NaN or an infinity spoils its channel and no other."""
    middle = PLANE + 5
    return [
        case("NaN in one channel", Batch(SHAPE, x=edited((middle, 1, 1, "NaN"))), non_finite=True),
        case("infinity in one channel", Batch(SHAPE, x=edited((middle, 1, 1, "Infinity"))), non_finite=True),
        case(
            "evaluation of non-finite values",
            Batch(SHAPE, training=False, x=edited((0, 1, 1, "-Infinity"), (middle, 1, 1, "NaN"))),
            non_finite=True,
        ),
    ]
