"""Shapes and sequences of the test suites of other synchronized layers. The tests split each batch over devices too."""

from case import Batch, Case, case, edited


def cases() -> list[Case]:
    """All of them."""
    return [*pytorch_distributed(), *apex(), *others()]


def pytorch_distributed() -> list[Case]:
    """``torch/testing/_internal/distributed/distributed_test.py``: whole batches of W replicas."""
    worlds = [case(f"bare layer, W {world}", Batch((2 * world, 2))) for world in (1, 2, 4, 8)]
    rows = [case(f"one row per replica, W {world}", Batch((world, 3))) for world in (2, 5, 16)]
    growing = [
        case(f"replica r has r + 2 samples, W {world}", Batch((sum(r + 2 for r in range(world)), 3, 4)))
        for world in (2, 4)
    ]
    recorded = (0, 1, 2, 9, 49, 99)
    hundred = case(
        "momentum 0.99 for 100 steps of different sizes",
        *[Batch((5 + i % 4, 2, 10), recorded=i in recorded) for i in range(100)],
        momentum=0.99,
        initial={},
    )
    return [*worlds, *rows, *growing, hundred]


def apex() -> list[Case]:
    """NVIDIA apex, ``tests/distributed/synced_batchnorm``."""
    times_50 = {"scale": 50}
    return [
        case("apex, [5, 10, 16, 16]", Batch((5, 10, 16, 16)), initial={}),
        case("apex, [32, 10, 40, 40] of two", Batch((32, 10, 40, 40), x={"distribution": "uniform"})),
        case(
            "apex, batches of 16 and 8",
            Batch((24, 4, 5, 6), x=times_50),
            Batch((24, 4, 5, 6), training=False, x=times_50),
        ),
    ]


def others() -> list[Case]:
    """mmcv, detectron2, MegEngine."""
    weights = {"weight": edited((0, 1, 1, 0.2), (1, 1, 1, 0.5), (2, 1, 1, 0.7)), "bias": {"scale": 0.1}}
    normal = {"scale": 1, "offset": 2.3}
    return [
        case(
            "mmcv, [16, 3, 2, 3]",
            Batch((16, 3, 2, 3)),
            Batch((16, 3, 2, 3), training=False),
            initial=weights,
        ),
        case("detectron2, one replica of [0, 3, 2, 3]", Batch((4, 3, 2, 3)), Batch((0, 3, 2, 3)), Batch((3, 3, 2, 3))),
        case(
            "MegEngine, [3, 8, 4, 16]",
            *[Batch((3, 8, 4, 16), x=normal) for _ in range(4)],
            initial={},
            eps=1e-4,
            momentum=0.9,
        ),
    ]
