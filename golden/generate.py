"""Makes the golden data from PyTorch. See README.md beside it."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

import network
from case import Case
from data_file import FOLDER, DataFile, suite_files
from pytorch_run import run_case
from suites import cancellation, lengths, pytorch_nn, synchronized

SUITES = {
    "pytorch_nn": pytorch_nn,
    "lengths": lengths,
    "cancellation": cancellation,
    "synchronized": synchronized,
}

BIT_EXACT = ("y", "running_mean", "running_var", "num_batches_tracked")
"""What does not depend on the machine, as long as it has fma. Gradients are sums whose order does."""


def main() -> int:
    """Writes the files, or compares what PyTorch gives here with those that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a forward result has other bits")
    check = parser.parse_args().check
    # Results of PyTorch's forward do not depend on the number of threads; its gradients may.
    torch.set_num_threads(1)
    files: dict[Path, bytes] = {}
    for name in SUITES:
        files |= make_suite(name)
    if check:
        return report([difference for name in SUITES for difference in differences(name, files)])
    files |= make_network()
    for path, content in files.items():
        path.write_bytes(content)
    print(f"wrote {len(files)} files, {sum(map(len, files.values()))} bytes")
    return 0


def make_suite(name: str) -> dict[Path, bytes]:
    """The files of one suite."""
    data = DataFile()
    entries = [entry(case, data) for case in SUITES[name].cases()]
    names = [described["name"] for described in entries]
    assert len(set(names)) == len(names), f"{name}: two cases have the same name, and so the same seeds"
    return suite_files(name, header(), {"cases": entries}, data)


def make_network() -> dict[Path, bytes]:
    """The files of the network."""
    data = DataFile()
    return suite_files("network", header(), {"networks": [network.entry(data)]}, data)


def header() -> dict[str, str]:
    """What the values depend on."""
    return {"torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}


def entry(case: Case, data: DataFile) -> dict:
    """A case as it stands in the JSON file; its arrays go to ``data``."""
    described = asdict(case)
    for step, result in zip(described["steps"], run_case(case), strict=True):
        error = result.pop("error")
        counter = result.pop("num_batches_tracked")
        if step.pop("recorded"):
            stored = {key: data.add(values) for key, values in result.items()}
            step["expected"] = {**stored, "num_batches_tracked": counter, "error": error}
        else:
            step["expected"] = None
    return described


def differences(suite: str, files: dict[Path, bytes]) -> list[str]:
    """Where the bits of the committed suite differ from those of ``files``."""
    path = FOLDER / f"{suite}.json"
    now, before = forward_bits(json.loads(files[path])), forward_bits(json.loads(path.read_bytes()))
    return [f"{suite}: {key}" for key in sorted({*now, *before}) if now.get(key) != before.get(key)]


def forward_bits(suite: dict) -> dict[str, object]:
    """What is bit-exact in a suite: hashes and counters, by case, step and name."""
    return {
        f"{case['name']}, step {i}, {name}": value["hash"] if isinstance(value, dict) else value
        for case in suite["cases"]
        for i, step in enumerate(case["steps"])
        for name, value in (step["expected"] or {}).items()
        if name in BIT_EXACT
    }


def report(found: list[str]) -> int:
    """The exit status, after telling the differences."""
    print("\n".join(found) or "every forward result has the bits of the committed data")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
