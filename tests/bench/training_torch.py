"""Pictures per second of PyTorch in training the seed's network: `training_torch.py THREADS STEPS`."""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

BATCH = 64


class Net(nn.Module):
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
        x = functional.relu(functional.max_pool2d(self.drop(self.conv2(x)), 2)).view(-1, 320)
        x = functional.dropout(functional.relu(self.fc1(x)), training=self.training)
        return functional.log_softmax(self.fc2(x), dim=1)


def main():
    threads, steps = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net, x, y = Net(), torch.rand(BATCH, 1, 28, 28) * 2 - 1, torch.randint(10, (BATCH,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    begun = 0.0
    for step in range(-(-steps // 5), -steps, -1):
        if step == 0:
            begun = time.perf_counter()
        optimizer.zero_grad()
        functional.nll_loss(net(x), y).backward()
        optimizer.step()
    print(steps * BATCH / (time.perf_counter() - begun))


if __name__ == "__main__":
    main()
