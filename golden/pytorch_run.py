"""Runs a golden case in PyTorch, in f32 and, from the same state before each step, in f64."""

import copy

import numpy as np
import torch

import recipe
from case import Case, Step
from formula import random_array

STATE = ("weight", "bias", "running_mean", "running_var")
GRADIENTS = ("dx", "dweight", "dbias")


def run_case(case: Case) -> list[dict]:
    """What PyTorch gives for every step: ``y``, the state after it, the gradients, and its ``error`` against f64.

    Raises AssertionError where the recipe of ``numerics: 'torch'`` does not give PyTorch's bits.
    """
    layer = layer_of(case)
    results = []
    for i, step in enumerate(case.steps):
        before = copy.deepcopy(layer)
        x = random_array(step.x, int(np.prod(step.shape))).reshape(step.shape)
        dy = random_array(step.dy, x.size).reshape(step.shape)
        result = call(layer, step, x, dy)
        exact = call(copy.deepcopy(before).double(), step, x.astype(np.float64), dy.astype(np.float64))
        compared = ("y", *GRADIENTS)
        result["error"] = {key: largest_error(result[key], exact[key]) for key in compared if result[key] is not None}
        check_recipe(f"{case.name}, step {i}", before, step, x, result)
        results.append(result)
    return results


def layer_of(case: Case) -> torch.nn.Module:
    """The layer with the state that the case begins with."""
    kind = "BatchNorm1d" if is_one_value_per_sample(case.steps[0].shape) else case.kind
    layer = getattr(torch.nn, kind)(case.num_features, **case.options)
    with torch.no_grad():
        for name, spec in case.initial.items():
            getattr(layer, name).copy_(torch.from_numpy(random_array(spec, case.num_features)))
    if case.untracked_afterwards:
        layer.track_running_stats = False
    return layer


def call(layer: torch.nn.Module, step: Step, x: np.ndarray, dy: np.ndarray) -> dict:
    """One forward and backward pass on PyTorch's contiguous path."""
    layer.train(step.training)
    layer.zero_grad()
    leaf = torch.from_numpy(x).requires_grad_()
    y = forward(layer, leaf)
    y.backward(torch.from_numpy(dy))
    counter = getattr(layer, "num_batches_tracked", None)
    result = {name: array(getattr(layer, name)) for name in ("running_mean", "running_var")}
    return {
        "y": array(y),
        **result,
        "num_batches_tracked": None if counter is None else int(counter),
        "dx": array(leaf.grad),
        "dweight": None if layer.weight is None else array(layer.weight.grad),
        "dbias": None if layer.bias is None else array(layer.bias.grad),
    }


def forward(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Calls the layer so that PyTorch takes its contiguous path: (N, C) numbers as one sample (1, C, N)."""
    if not is_one_value_per_sample(x.shape):
        return layer(x)
    one_sample = x.reshape(x.shape[0], x.shape[1]).t().contiguous()[None]
    return layer(one_sample)[0].t().reshape(x.shape)


def is_one_value_per_sample(shape: tuple[int, ...]) -> bool:
    """Whether a sample has one value per channel, which sends PyTorch to its channels-last path.

    That path adds in serial f32 and depends on the number of threads, so it is not what the library reproduces.
    """
    return shape[0] > 0 and int(np.prod(shape[2:])) == 1


def check_recipe(label: str, before: torch.nn.Module, step: Step, x: np.ndarray, result: dict) -> None:
    """Asserts that the recipe gives the bits of y and of the running statistics."""
    counter = result["num_batches_tracked"] or 1
    expected = recipe.step(
        x.reshape(*x.shape[:2], int(np.prod(x.shape[2:]))),
        {name: array(getattr(before, name)) for name in STATE},
        batch_stats=step.training or before.running_mean is None,
        tracked=step.training and before.track_running_stats,
        eps=before.eps,
        momentum=1 / counter if before.momentum is None else before.momentum,
    )
    for name in ("y", "running_mean", "running_var"):
        if result[name] is None:
            continue
        same = same_bits(expected[name].reshape(-1), result[name].reshape(-1))
        assert same.all(), f"{label}: the recipe gives other bits for {name} in {np.count_nonzero(~same)} elements"


def same_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Element by element; NaN equals NaN, whatever its payload, and 0 is not −0."""
    return (a.view(np.int32) == b.view(np.int32)) | (np.isnan(a) & np.isnan(b))


def largest_error(values: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance of finite elements; 0 when there are none."""
    with np.errstate(invalid="ignore"):
        distance = np.abs(values.astype(np.float64) - exact)
    finite = distance[np.isfinite(distance)]
    return float(finite.max()) if finite.size else 0.0


def array(tensor: torch.Tensor | None) -> np.ndarray | None:
    """A copy as a contiguous array."""
    return None if tensor is None else np.ascontiguousarray(tensor.detach().numpy()).copy()
