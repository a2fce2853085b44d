"""The network of PyTorch's distributed tests, trained for a few steps: Linear, BatchNorm1d, Linear, softmax, MSE."""

import numpy as np
import torch

from case import seed_of
from data_file import DataFile
from formula import random_array

BATCH = 16
STEPS = 5
LEARNING_RATE = 0.5
"""Large, so that the parameters move by much more than they are compared with."""

INITIAL = {
    "fc1.weight": {"seed": seed_of("network/fc1.weight"), "scale": 0.7},
    "bn.weight": {"seed": seed_of("network/bn.weight"), "distribution": "uniform", "offset": 0.5},
    "bn.bias": {"seed": seed_of("network/bn.bias"), "scale": 0.2},
    "fc2.weight": {"seed": seed_of("network/fc2.weight"), "scale": 0.3},
}


class BatchNormNet(torch.nn.Module):
    """``torch/testing/_internal/distributed/distributed_test.py``, of the same name."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = torch.nn.Linear(2, 40, bias=False)
        self.bn = torch.nn.BatchNorm1d(4)
        self.fc2 = torch.nn.Linear(40, 4, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.bn(self.fc1(x).reshape(-1, 4, 10))
        return torch.softmax(self.fc2(hidden.reshape(-1, 40)), dim=1)


def entry(data: DataFile) -> dict:
    """The network as it stands in the JSON file. Expected values are those of the f64 run, rounded to f32."""
    nets = [BatchNormNet(), BatchNormNet().double()]
    for net in nets:
        with torch.no_grad():
            for name, spec in INITIAL.items():
                parameter = net.get_parameter(name)
                parameter.copy_(torch.from_numpy(random_array(spec, parameter.numel())).reshape(parameter.shape))
    return {
        "name": "Linear, BatchNorm1d, Linear, softmax, MSE",
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "initial": INITIAL,
        "steps": [step(i, nets, data) for i in range(STEPS)],
    }


def step(number: int, nets: list[torch.nn.Module], data: DataFile) -> dict:
    """One step of gradient descent: what went in, gradients, state afterwards, PyTorch's error in f32."""
    x = {"seed": seed_of(f"network/{number}/x")}
    target = {"seed": seed_of(f"network/{number}/target"), "distribution": "uniform"}
    single, exact = (descend(net, random_array(x, BATCH * 2), random_array(target, BATCH * 4)) for net in nets)
    expected = {
        part: {
            name: {"values": data.add(exact[part][name]), "error": float(np.abs(exact[part][name] - values).max())}
            for name, values in single[part].items()
        }
        for part in single
    }
    return {"x": x, "target": target, "expected": expected}


def descend(net: torch.nn.Module, x: np.ndarray, target: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Takes the step; gradients by parameter and the state by its name in the state dict."""
    of_type = next(net.parameters()).dtype
    net.zero_grad()
    y = net(torch.from_numpy(x).to(of_type).reshape(BATCH, 2))
    torch.nn.functional.mse_loss(y, torch.from_numpy(target).to(of_type).reshape(BATCH, 4)).backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= LEARNING_RATE * parameter.grad
    return {
        "gradients": {name: parameter.grad.numpy().copy() for name, parameter in net.named_parameters()},
        "state": {name: value.numpy().copy() for name, value in net.state_dict().items() if value.dim() > 0},
    }
