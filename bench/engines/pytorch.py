"""PyTorch behind the benchmark's line protocol (`bench/protocol.ts`): requests on stdin, replies on stdout.

Variants are a way and a number of threads, `eager:1`:

`eager`: `native_batch_norm` and `native_batch_norm_backward`, the kernels behind `torch.nn.BatchNorm2d` and its gradient,
without the module and autograd around them, which only add to PyTorch's time.
`channels_last`: the same kernels on tensors of four or five dimensions that lie channels last, whatever the workload says.
`compiled`: `torch.compile` of `torch.nn.functional.batch_norm`, and the gradient function that it compiles with it.
"""

import json
import sys
from time import perf_counter

import torch

EPS = 1e-5
MOMENTUM = 0.1

# Each shape is a program of its own, and ResNet-50 has more of them than are kept by default.
torch._dynamo.config.recompile_limit = 1024
torch._dynamo.config.automatic_dynamic_shapes = False


@torch.compile(dynamic=False)
def compiled_forward(x, running_mean, running_var, weight, bias):
    return torch.nn.functional.batch_norm(x, running_mean, running_var, weight, bias, True, MOMENTUM, EPS)


class Layer:
    """One layer with its parameters resident. What a forward pass keeps is dropped by the backward pass."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight, bias
        self.running_mean, self.running_var = torch.zeros(len(weight)), torch.ones(len(weight))

    def forward(self, x):
        state = (self.running_mean, self.running_var)
        y, mean, invstd = torch.native_batch_norm(x, self.weight, self.bias, *state, True, MOMENTUM, EPS)
        self.kept = x, mean, invstd
        return y

    def backward(self, dy):
        x, *statistics = self.kept
        state = (self.running_mean, self.running_var)
        self.kept = None
        return torch.ops.aten.native_batch_norm_backward(
            dy, x, self.weight, *state, *statistics, True, EPS, (True, True, True)
        )


class CompiledLayer(Layer):
    def forward(self, x):
        with torch.enable_grad():
            inputs = [value.detach().requires_grad_() for value in (x, self.weight, self.bias)]
            y = compiled_forward(inputs[0], self.running_mean, self.running_var, *inputs[1:])
        self.kept = y, inputs
        return y.detach()

    def backward(self, dy):
        (y, inputs), self.kept = self.kept, None
        return torch.autograd.grad(y, inputs, dy)


class Network:
    """Layers with an input each, or a chain of them on the only input."""

    def __init__(self, layers, pairs, is_chain):
        self.layers, self.pairs, self.is_chain = layers, pairs, is_chain

    def forward(self):
        if not self.is_chain:
            return [layer.forward(x) for layer, (x, _) in zip(self.layers, self.pairs)]
        y = self.pairs[0][0]
        for layer in self.layers:
            y = layer.forward(y)
        return [y]

    def backward(self):
        if not self.is_chain:
            for layer, (_, dy) in zip(reversed(self.layers), reversed(self.pairs)):
                gradients = layer.backward(dy)
            return gradients
        dx = self.pairs[0][1]
        for layer in reversed(self.layers):
            dx, *others = layer.backward(dx)
        return dx, *others


def format_of(layer, way):
    """How PyTorch names the format in memory; it has none for channels last of ranks 2 and 3."""
    rank = len(layer["shape"])
    if layer["format"] == "contiguous" and not (way == "channels_last" and rank in (4, 5)):
        return torch.contiguous_format
    return {4: torch.channels_last, 5: torch.channels_last_3d}[rank]


class Loaded:
    """What a request has loaded, placed as a way wants it when it is first measured."""

    def __init__(self, request):
        self.shapes = request["layers"]
        self.chain_length = request["chainLength"]
        self.networks = {}

    def network(self, way):
        if way not in self.networks:
            kind = CompiledLayer if way == "compiled" else Layer
            pairs = [self.tensors(shape, way) for shape in self.shapes]
            channels = [shape["shape"][1] for shape in self.shapes] * self.chain_length
            layers = [kind(torch.ones(count), torch.zeros(count)) for count in channels]
            self.networks[way] = Network(layers, pairs, self.chain_length > 1)
        return self.networks[way]

    @staticmethod
    def tensors(layer, way):
        return [torch.randn(layer["shape"]).contiguous(memory_format=format_of(layer, way)) for _ in range(2)]


def check(batch, way):
    """The results of a second step, since steps repeat for as long as they are timed."""
    kind = CompiledLayer if way == "compiled" else Layer
    layer = kind(torch.tensor(batch["weight"]), torch.tensor(batch["bias"]))
    form = format_of(batch, way)
    x, dy = (torch.tensor(batch[name]).reshape(batch["shape"]).contiguous(memory_format=form) for name in ("x", "dy"))
    for _ in range(2):
        results = [layer.forward(x), *layer.backward(dy)]
    return {name: values.flatten().tolist() for name, values in zip(("y", "dx", "dweight", "dbias"), results)}


def time_steps(network, calls):
    """Mean seconds of a step: all layers forward in order, then all backward in reverse."""
    forward = backward = 0.0
    for _ in range(calls):
        start = perf_counter()
        network.forward()
        middle = perf_counter()
        network.backward()
        forward += middle - start
        backward += perf_counter() - middle
    return {"forward": forward / calls, "backward": backward / calls, "step": (forward + backward) / calls}


def answer(request, loaded):
    """The answer to a request, and what is loaded after it."""
    way, _, threads = request.get("variant", "").partition(":")
    if threads:
        torch.set_num_threads(int(threads))
    match request["command"]:
        case "load":
            return None, Loaded(request)
        case "check":
            return check(request["batch"], way), None
        case "time":
            return time_steps(loaded.network(way), request["calls"]), loaded
        case "count":
            return None, loaded
        case "unload":
            return None, None
    raise ValueError(f"unknown command {request['command']}")


def main():
    torch.manual_seed(1)
    loaded = None
    print(json.dumps({"ok": f"PyTorch {torch.__version__}"}), flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            try:
                ok, loaded = answer(json.loads(line), loaded)
                reply = {"ok": ok}
            except Exception as error:  # The parent tells the user; this process goes on with the next request.
                reply = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)


main()
