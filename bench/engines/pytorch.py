"""PyTorch behind the benchmark's line protocol (`bench/protocol.ts`): requests on stdin, replies on stdout.

Calls `native_batch_norm` and `native_batch_norm_backward`, the kernels behind `torch.nn.BatchNorm2d` and its gradient,
without the module and autograd around them, which only add to PyTorch's time. Variants: `1` and `2`, threads.
"""

import json
import sys
from time import perf_counter

import torch

EPS = 1e-5
MOMENTUM = 0.1

forward_kernel = torch.native_batch_norm
backward_kernel = torch.ops.aten.native_batch_norm_backward


class Layer:
    """One layer with its tensors resident; results are dropped by the caller."""

    def __init__(self, x, dy, weight, bias):
        channels = x.shape[1]
        self.x, self.dy, self.weight, self.bias = x, dy, weight, bias
        self.running_mean, self.running_var = torch.zeros(channels), torch.ones(channels)
        self.output = None

    def forward(self):
        self.output = forward_kernel(
            self.x, self.weight, self.bias, self.running_mean, self.running_var, True, MOMENTUM, EPS
        )

    def backward(self):
        _, mean, invstd = self.output
        gradients = backward_kernel(
            self.dy,
            self.x,
            self.weight,
            self.running_mean,
            self.running_var,
            mean,
            invstd,
            True,
            EPS,
            (True, True, True),
        )
        self.output = None
        return gradients


def memory_format(layer):
    """The format of a request as PyTorch names it; it has none for channels last of ranks 2 and 3."""
    if layer["format"] == "contiguous":
        return torch.contiguous_format
    return {4: torch.channels_last, 5: torch.channels_last_3d}[len(layer["shape"])]


def random_layer(layer):
    shape, channels = layer["shape"], layer["shape"][1]
    x, dy = (torch.randn(shape).contiguous(memory_format=memory_format(layer)) for _ in range(2))
    return Layer(x, dy, torch.ones(channels), torch.zeros(channels))


def given_layer(batch):
    form = memory_format(batch)
    x, dy = (torch.tensor(batch[name]).reshape(batch["shape"]).contiguous(memory_format=form) for name in ("x", "dy"))
    return Layer(x, dy, torch.tensor(batch["weight"]), torch.tensor(batch["bias"]))


def check(layer):
    layer.forward()
    y = layer.output[0]
    dx, dweight, dbias = layer.backward()
    results = {"y": y, "dx": dx, "dweight": dweight, "dbias": dbias}
    return {name: values.flatten().tolist() for name, values in results.items()}


def time_steps(layers, calls):
    """Mean seconds of a step: all layers forward in order, then all backward in reverse."""
    forward = backward = 0.0
    for _ in range(calls):
        start = perf_counter()
        for layer in layers:
            layer.forward()
        middle = perf_counter()
        for layer in reversed(layers):
            layer.backward()
        forward += middle - start
        backward += perf_counter() - middle
    return {"forward": forward / calls, "backward": backward / calls, "step": (forward + backward) / calls}


def answer(request, layers):
    if request["command"] in ("load", "check", "unload"):
        layers.clear()
    match request["command"]:
        case "load":
            layers.extend(random_layer(layer) for layer in request["layers"])
            return None
        case "check":
            torch.set_num_threads(int(request["variant"]))
            return check(given_layer(request["batch"]))
        case "time":
            torch.set_num_threads(int(request["variant"]))
            return time_steps(layers, request["calls"])
        case "traffic":
            return None
        case "unload":
            return None
    raise ValueError(f"unknown command {request['command']}")


def main():
    torch.manual_seed(1)
    layers = []
    print(json.dumps({"ok": f"PyTorch {torch.__version__}"}), flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            try:
                reply = {"ok": answer(json.loads(line), layers)}
            except Exception as error:  # The parent tells the user; this process goes on with the next request.
                reply = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)


main()
