"""Makes ``data/safetensors.json``: files written by Python's ``safetensors`` package, and what is in them.

Each entry has the bytes of a file as base64, and by name what PyTorch reads from it: shape and values of tensors as f32,
numbers for single values of shape [] that are integers or f64. JSON has no NaN and no infinities: they are written as text.
"""

import base64
import json
import math
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save

FILE = Path(__file__).parent / "data" / "safetensors.json"


def trained_network() -> dict[str, torch.Tensor]:
    """The state dict of two layers after two batches."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Sequential(torch.nn.BatchNorm2d(3, affine=False)))
    for _ in range(2):
        network(torch.randn(4, 3, 2, 2) * 3 + 1)
    return network.state_dict()


def boundaries(dtype: torch.dtype) -> torch.Tensor:
    """Values around every boundary of a type with f32: zeros, subnormal numbers, ties, the largest, NaN."""
    information = torch.finfo(dtype)
    values = [0.0, 1.0, 1 / 3, 65504.0, information.max, information.tiny, information.smallest_normal / 4, math.inf]
    # Halfway between two f32 numbers, and a little more; what rounds to infinity, and to the smallest f32 and below.
    values += [1 + 2**-24, 1 + 3 * 2**-24, 1 + 2**-24 + 2**-50, 2.0**128, 2.0**128 - 2.0**103, 2.0**-149, 2.0**-150, 3e-46]
    return torch.tensor([*values, *(-value for value in values), math.nan], dtype=torch.float64).to(dtype)


def integers() -> dict[str, torch.Tensor]:
    """One value and three of every integer type, at its ends where f32 and numbers of JavaScript hold them."""
    found = {}
    for dtype in [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64]:
        name, information = str(dtype).removeprefix("torch."), torch.iinfo(dtype)
        largest = min(information.max, 2**53 - 1)
        found[f"{name}.largest"] = torch.tensor(largest, dtype=dtype)
        found[f"{name}.smallest"] = torch.tensor(max(information.min, -largest), dtype=dtype)
        found[f"{name}.three"] = torch.tensor([0, 1, min(information.max, 2**24)], dtype=dtype)
    return found | {"flag": torch.tensor(True), "mask": torch.tensor([[True, False], [False, True]])}


def shapes_and_names() -> dict[str, torch.Tensor]:
    """Shapes without values and without dimensions, and names that JSON or JavaScript treat in their own way."""
    names = ["", "0", "10", "__proto__", "constructor", 'a "quoted" \\ name', "größe", "\U0001f600", "line\nbreak\u0001"]
    named = {name: torch.tensor([float(i), -0.0]) for i, name in enumerate(names)}
    shaped = {f"shape {shape}": torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape) for shape in [(), (0,), (2, 0, 3), (1, 2, 3)]}
    return named | shaped


FILES = {
    "a trained network": (trained_network(), {"format": "pt"}),
    "nothing": ({}, None),
    "f16": ({"values": boundaries(torch.float16), "one": torch.tensor(1.5, dtype=torch.float16)}, None),
    "bf16": ({"values": boundaries(torch.bfloat16), "one": torch.tensor(1.5, dtype=torch.bfloat16)}, None),
    "f64": ({"values": boundaries(torch.float64), "one": torch.tensor(0.1, dtype=torch.float64)}, None),
    "integers": (integers(), None),
    "shapes and names": (shapes_and_names(), {"größe": "a\tb"}),
}


def described(tensor: torch.Tensor) -> object:
    """What the file must give: the number, or the shape and the values as f32."""
    if tensor.dim() == 0 and (not tensor.is_floating_point() or tensor.dtype == torch.float64):
        return number(tensor.item())
    return {"shape": list(tensor.shape), "values": [number(value) for value in tensor.float().flatten().tolist()]}


def number(value: float | bool) -> float | int | str:
    """A number as JSON can write it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return int(value) if isinstance(value, bool) else value


def main() -> None:
    """Writes the file."""
    entries = []
    for name, (tensors, metadata) in FILES.items():
        data = save(tensors, metadata)
        expected = {key: described(value) for key, value in load(data).items()}
        entries.append({"name": name, "base64": base64.b64encode(data).decode(), "metadata": metadata or {}, "expected": expected})
    header = {"torch": torch.__version__, "safetensors": safetensors.__version__}
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    FILE.write_text(f'{json.dumps(header)[:-1]}, "files": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
