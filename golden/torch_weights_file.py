"""Makes ``data/torch_weights.json``: a small ResNet with each kind of layer that ``loadTorchWeights`` converts.

``file`` has its weights as safetensors, as base64, after some batches in training; ``x`` an input and ``evaluated`` and ``trained`` what the
network gives for it in evaluation and, after that, in training; ``running_mean`` is that of the first batch norm then. Values are f32, as base64.
"""

import base64
import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import nn

FILE = Path(__file__).parent / "data" / "torch_weights.json"


class Bottleneck(nn.Module):
    """As torchvision's, with a depthwise convolution in the middle."""

    def __init__(self, channels: int, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU()
        self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class Network(nn.Module):
    """Stem, two blocks, a transposed convolution, and a linear layer behind images of 4 × 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 5, 2, padding=2, bias=True)
        self.bn1 = nn.BatchNorm2d(4, eps=1e-4, momentum=0.3)
        self.relu = nn.PReLU(4)
        self.layer1 = nn.Sequential(Bottleneck(4, 3, 8, 2))
        self.up = nn.ConvTranspose2d(8, 6, 2, 2)
        self.layer2 = nn.Sequential(Bottleneck(6, 2, 5, 2))
        self.fc = nn.Linear(5 * 4 * 4, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.layer2(self.up(self.layer1(y)))
        return self.fc(torch.flatten(y, 1))


def encoded(tensor: torch.Tensor) -> str:
    return base64.b64encode(tensor.detach().float().contiguous().numpy().tobytes()).decode()


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = Network()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-4, 0.3
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, 0.1, 0.5)
    for _ in range(3):
        network(torch.randn(4, 3, 16, 16) * 2 + 1)
    # Before the passes below, which change the statistics.
    file = save(network.state_dict(), metadata={"format": "pt"})
    x = torch.randn(3, 3, 16, 16)
    evaluated = network.eval()(x)
    trained = network.train()(x)
    found = {
        "torch": torch.__version__,
        "shape": list(x.shape),
        "file": base64.b64encode(file).decode(),
        "x": encoded(x),
        "evaluated": encoded(evaluated),
        "trained": encoded(trained),
        "running_mean": encoded(network.bn1.running_mean),
    }
    FILE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
