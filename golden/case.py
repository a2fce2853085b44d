"""How a golden case is described. What is described here is computed by ``pytorch_run.py`` and read by the tests."""

import zlib
from dataclasses import dataclass, field
from typing import Any

Spec = dict[str, Any]
"""A random array, as ``formula.random_array`` reads it."""


@dataclass(frozen=True)
class Step:
    """One call of the layer, forward and backward."""

    shape: tuple[int, ...]
    training: bool
    x: Spec
    dy: Spec
    recorded: bool = True
    """Whether what comes out is stored. A long sequence stores some of its steps only."""


@dataclass(frozen=True)
class Case:
    """A layer, the state it begins with, and the batches it sees one after the other."""

    name: str
    kind: str
    """``BatchNorm1d``, ``BatchNorm2d`` or ``BatchNorm3d``."""
    num_features: int
    options: dict[str, Any]
    """Arguments of the constructor besides ``num_features``, all of them."""
    initial: dict[str, Spec]
    """State that replaces what the constructor sets, by its name in the state dict."""
    steps: tuple[Step, ...]
    untracked_afterwards: bool = False
    """Sets ``track_running_stats = False`` on the finished layer."""
    non_finite: bool = False
    """Whether results are expected to have NaN or infinities."""


DEFAULTS = {"eps": 1e-5, "momentum": 0.1, "affine": True, "bias": True, "track_running_stats": True}


@dataclass(frozen=True)
class Batch:
    """A step as a suite writes it: its shape, its mode, and how its values are distributed."""

    shape: tuple[int, ...]
    training: bool = True
    x: Spec = field(default_factory=dict)
    recorded: bool = True


def case(name: str, *batches: Batch, initial: dict[str, Spec] | None = None, **given: Any) -> Case:
    """A case whose seeds follow from its name, so that other cases may come and go.

    ``given`` are arguments of the constructor, or fields of :class:`Case`. The state is random, unless ``initial`` says
    which of it: ``initial={}`` keeps what the constructor sets.
    """
    options = {key: given.pop(key, default) for key, default in DEFAULTS.items()}
    options["bias"] = options["bias"] and options["affine"]
    shape = batches[0].shape
    kind = "BatchNorm1d" if len(shape) <= 3 else f"BatchNorm{len(shape) - 2}d"
    specs = random_state(options) if initial is None else initial
    steps = tuple(
        Step(
            shape=batch.shape,
            training=batch.training,
            x={"seed": seed_of(f"{name}/{i}/x"), **batch.x},
            dy={"seed": seed_of(f"{name}/{i}/dy")},
            recorded=batch.recorded,
        )
        for i, batch in enumerate(batches)
    )
    seeded = {key: {"seed": seed_of(f"{name}/{key}"), **spec} for key, spec in specs.items()}
    return Case(name, kind, shape[1], options, seeded, steps, **given)


def random_state(options: dict[str, Any]) -> dict[str, Spec]:
    """Weights and variances within [0.5, 1.5), biases and means around 0, for what the layer has."""
    around_one = {"distribution": "uniform", "offset": 0.5}
    around_zero = {"scale": 0.5}
    specs = {}
    if options["affine"]:
        specs["weight"] = around_one
    if options["bias"]:
        specs["bias"] = around_zero
    if options["track_running_stats"]:
        specs |= {"running_mean": around_zero, "running_var": around_one}
    return specs


def edited(*edits: tuple[int, int, int, float | str], **spec: Any) -> Spec:
    """A distribution with elements overwritten; an edit is (start, count, stride, value)."""
    return {**spec, "edits": [dict(zip(("start", "count", "stride", "value"), edit, strict=True)) for edit in edits]}


def seed_of(name: str) -> int:
    """32 bits that stay the same for a name."""
    return zlib.crc32(name.encode())
