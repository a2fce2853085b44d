"""Cases with the shapes and arguments of PyTorch's own ``test_nn.py`` and ``common_modules.py``."""

from itertools import product

from case import Batch, Case, case

UNIFORM_128_256 = {"distribution": "uniform", "scale": 128, "offset": 128}


def cases() -> list[Case]:
    """All of them."""
    return [*grid(), *module_info(), *empty(), *layouts(), *modes()]


def grid() -> list[Case]:
    """Inputs in [128, 256), every combination of arguments and mode."""
    combinations = product((1e-5, 1.0, 3.0), (0.1, 0.67, 1.0), (True, False), (True, False), (True, False))
    return [
        case(
            f"[128, 256), eps {eps}, momentum {momentum}, affine {affine}, tracked {tracked}, training {training}",
            Batch((4, 3, 5, 5), training, UNIFORM_128_256),
            eps=eps,
            momentum=momentum,
            affine=affine,
            track_running_stats=tracked,
        )
        for eps, momentum, affine, tracked, training in combinations
    ]


def module_info() -> list[Case]:
    """The shapes that every module of PyTorch is tested with, by the arguments they are tested with."""
    shapes = [(4, 10), (4, 5, 3), (2, 3, 6, 6), (2, 3, 4, 4, 4)]
    arguments = {
        "defaults": {"initial": {}},
        "random state": {},
        "eps 0.001, momentum null": {"eps": 1e-3, "momentum": None},
        "not affine": {"eps": 1e-3, "momentum": 0.3, "affine": False},
        "weight alone": {"bias": False},
        "not affine, not tracked": {"eps": 1e-3, "affine": False, "track_running_stats": False},
    }
    return [
        case(f"{list(shape)}, {name}", Batch(shape), Batch(shape), Batch(shape, training=False), **given)
        for shape, (name, given) in product(shapes, arguments.items())
    ]


def empty() -> list[Case]:
    """Batches of no samples, between others and alone."""
    shapes = [(0, 5), (0, 5, 9), (0, 3, 2, 2), (0, 5, 2, 2), (0, 5, 2, 2, 2)]
    return [
        case(
            f"{list(shape)} between full batches, momentum {momentum}",
            Batch((2, *shape[1:])),
            Batch(shape),
            Batch(shape, training=False),
            Batch((3, *shape[1:])),
            Batch((2, *shape[1:]), training=False),
            momentum=momentum,
        )
        for shape, momentum in product(shapes, (0.1, None))
    ]


def layouts() -> list[Case]:
    """The shapes on which channels-last is compared with contiguous."""
    shapes = [(4, 8, 10, 10), (4, 1, 9, 9), (4, 9, 1, 1), (4, 8, 2, 10, 10), (4, 1, 2, 9, 9), (4, 9, 1, 1, 1)]
    return [
        case(f"layout {list(shape)}", Batch(shape, x={"offset": 2}), Batch(shape, training=False)) for shape in shapes
    ]


def modes() -> list[Case]:
    """Training and evaluation in turn, cumulative averages, statistics that are switched off."""
    shape = (4, 3, 2, 2)
    return [
        case("update_stats", Batch((3, 4, 5, 5)), initial={}, affine=False),
        case("evaluation twice", Batch(shape), Batch(shape, training=False), Batch(shape, training=False)),
        case("momentum null over two batches", Batch(shape), Batch(shape, x={"offset": 3}), momentum=None, initial={}),
        case("momentum null over batches of other sizes", *[Batch((5 - i, 3, 2)) for i in range(4)], momentum=None),
        case("momentum 0", Batch(shape), Batch(shape, training=False), momentum=0.0),
        case(
            "untracked after construction",
            Batch(shape),
            Batch(shape, training=False),
            Batch(shape),
            untracked_afterwards=True,
        ),
        case("evaluation of a fresh layer", Batch(shape, training=False), initial={}),
        case("evaluation of one value per channel", Batch((1, 4, 1, 1), training=False)),
        case("evaluation with eps 0", Batch(shape, training=False), eps=0.0),
        case("evaluation with eps 0.3", Batch(shape, training=False), eps=0.3),
    ]
