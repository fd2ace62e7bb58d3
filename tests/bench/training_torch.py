"""Pictures per second of PyTorch in training: `training_torch.py NETWORK MODE THREADS STEPS`.

NETWORK is `mnist`, `mlp`, `transformer`, `resnet20` or `resnet18`, MODE `eager`, `channels_last` or `compile`. Batch,
first weights, optimizer and what is printed are those of the example `throughput`.
"""

import pathlib
import sys
import time

import torch
from torch import nn
from torch.nn import functional

SHAPES = {
    "mnist": (64, 1, 28, 28),
    "mlp": (128, 784),
    "transformer": (16, 64, 256),
    "resnet20": (64, 3, 32, 32),
    "resnet18": (16, 3, 32, 32),
}
WARM_UP = 3
# Whose loss is told. In later ones of a deep network the rounding of the first has grown.
TOLD = 2


class Mnist(nn.Module):
    """The network of pytorch-operator's examples/dist-mnist."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.drop = nn.Dropout2d()
        self.fc1 = nn.Linear(320, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = functional.relu(functional.max_pool2d(self.conv1(x), 2))
        x = functional.relu(functional.max_pool2d(self.drop(self.conv2(x)), 2)).reshape(-1, 320)
        x = functional.dropout(functional.relu(self.fc1(x)), training=self.training)
        return functional.log_softmax(self.fc2(x), dim=1)


def mlp():
    return nn.Sequential(
        nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10)
    )


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        options = dict(dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        # One by one: `nn.TransformerEncoder` would give all of them the weights of one.
        layers = [nn.TransformerEncoderLayer(256, 8, 1024, **options) for _ in range(4)]
        self.layers = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(256)
        self.out = nn.Linear(256, 10)

    def forward(self, x):
        return self.out(self.norm(self.layers(x)).mean(1))


def conv(inner, out, kernel, stride, padding=0):
    """Without a bias, but drawn with one: as Carrel's layers are made."""
    layer = nn.Conv2d(inner, out, kernel, stride, padding)
    layer.register_parameter("bias", None)
    return layer


class Block(nn.Module):
    def __init__(self, inner, out, stride):
        super().__init__()
        self.shortcut = nn.Sequential()
        if stride != 1 or inner != out:
            self.shortcut = nn.Sequential(conv(inner, out, 1, stride), nn.BatchNorm2d(out))
        self.conv1 = conv(inner, out, 3, stride, 1)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = conv(out, out, 3, 1, 1)
        self.norm2 = nn.BatchNorm2d(out)

    def forward(self, x):
        y = functional.relu(self.norm1(self.conv1(x)), inplace=True)
        return functional.relu(self.norm2(self.conv2(y)) + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    def __init__(self, widths, blocks):
        super().__init__()
        layers, inner = [], widths[0]
        for at, width in enumerate(widths):
            for block in range(blocks):
                layers.append(Block(inner, width, 2 if at > 0 and block == 0 else 1))
                inner = width
        self.blocks = nn.Sequential(*layers)
        self.conv = conv(3, widths[0], 3, 1, 1)
        self.norm = nn.BatchNorm2d(widths[0])
        self.out = nn.Linear(inner, 10)

    def forward(self, x):
        x = self.blocks(functional.relu(self.norm(self.conv(x)), inplace=True))
        return self.out(functional.adaptive_avg_pool2d(x, 1).flatten(1))


NETWORKS = {
    "mnist": Mnist,
    "mlp": mlp,
    "transformer": Transformer,
    "resnet20": lambda: ResNet((16, 32, 64), 3),
    "resnet18": lambda: ResNet((64, 128, 256, 512), 2),
}


def batch(network):
    shape = SHAPES[network]
    at = torch.arange(torch.Size(shape).numel())
    x = ((at * 37 + at // 101 * 11) % 101).to(torch.float32) / 50 - 1
    return x.reshape(shape), torch.arange(shape[0]) * 7 % 10


def memory(field):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def main():
    network, mode, threads, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS:")
    torch.manual_seed(1)
    net, (x, y) = NETWORKS[network](), batch(network)
    if mode == "channels_last":
        net = net.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5 if network == "mnist" else 0.9)
    loss_of = functional.nll_loss if network == "mnist" else functional.cross_entropy
    run = torch.compile(net) if mode == "compile" else net

    def step():
        optimizer.zero_grad()
        loss = loss_of(run(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for at in range(1, max(-(-steps // 5), WARM_UP) + 1):
        loss = step()
        if at == TOLD:
            print("loss", loss.item())
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    seconds = time.perf_counter() - begun
    print("memory", memory("VmHWM:") - before)
    print(steps * x.shape[0] / seconds)


if __name__ == "__main__":
    main()
