"""Writes values.json: values and gradients of PyTorch 2.15.0, in f64, for tests/it/pytorch.rs.

    pip install torch==2.15.0 && python values.py
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F

assert torch.__version__.startswith("2.15.0"), torch.__version__
torch.set_default_dtype(torch.float64)
cases = []


def numbers(seed, shape, scale=1.0):
    """Multiples of 1/50 in -1..1, 0 among them, times `scale`."""
    count = torch.Size(shape).numel()
    return ((torch.arange(count) * 37 + seed * 11) % 101 / 50 - 1).reshape(shape) * scale


def flat(tensor):
    return tensor.detach().flatten().tolist()


def case(operation, shapes, function, numbers_of=(), scale=1.0):
    """Gradients are those of the result times numbers of seed 99."""
    inputs = [numbers(seed, shape, scale).requires_grad_() for seed, shape in enumerate(shapes)]
    y = function(*inputs)
    (y * numbers(99, y.shape)).sum().backward()
    gradients = [flat(x.grad) for x in inputs]
    cases.append(dict(operation=operation, numbers=list(numbers_of), shapes=shapes, scale=scale, y=flat(y), gradients=gradients))


for name in ("relu", "gelu", "silu", "sigmoid", "tanh"):
    for scale in (1.0, 8.0):
        function = getattr(F, name) if name not in ("sigmoid", "tanh") else getattr(torch, name)
        case(name, [[3, 7]], function, scale=scale)
for scale in (1.0, 1e3, 1e6):
    for dim in (0, 1):
        case("softmax", [[4, 5]], lambda x: F.softmax(x, dim), [dim], scale)
        case("log_softmax", [[4, 5]], lambda x: F.log_softmax(x, dim), [dim], scale)
    targets = torch.tensor([0, 3, 2, 4])
    case("cross_entropy", [[4, 5]], lambda x: F.cross_entropy(x, targets), [0, 3, 2, 4], scale)
    case("nll_loss", [[4, 5]], lambda x: F.nll_loss(x, targets), [0, 3, 2, 4], scale)
case("mse_loss", [[4, 5], [4, 5]], F.mse_loss)
case("l1_loss", [[4, 5], [4, 5]], F.l1_loss)
case("l1_loss", [[4, 5]], lambda x: F.l1_loss(x, x.detach()))
case("linear", [[3, 4], [5, 4], [5]], F.linear)
case("batch_norm", [[4, 3, 2], [3], [3]], lambda x, w, b: F.batch_norm(x, None, None, w, b, True))
case("layer_norm", [[4, 3, 2], [3, 2], [3, 2]], lambda x, w, b: F.layer_norm(x, (3, 2), w, b))
# Stride, padding, dilation, groups.
for s, p, d, g in [(1, 0, 1, 1), (2, 1, 1, 2), (1, 2, 2, 1), (3, 0, 1, 2), (2, 3, 2, 2)]:
    config = dict(stride=s, padding=p, dilation=d, groups=g)
    case("conv1d", [[3, 4, 9], [6, 4 // g, 3], [6]], lambda x, w, b: F.conv1d(x, w, b, **config), [s, p, d, g])
    case("conv2d", [[2, 2, 6, 7], [4, 2 // g, 3, 2], [4]], lambda x, w, b: F.conv2d(x, w, b, **config), [s, p, d, g])
# Kernel, stride, padding.
for k, s, p in [(2, 2, 0), (3, 2, 1), (3, 1, 0), (4, 3, 2)]:
    for axes, shape in ((1, [2, 3, 9]), (2, [2, 2, 6, 7])):
        maximum, mean = (getattr(F, f"{kind}_pool{axes}d") for kind in ("max", "avg"))
        case(f"max_pool{axes}d", [shape], lambda x: maximum(x, k, s, p), [k, s, p])
        case(f"avg_pool{axes}d", [shape], lambda x: mean(x, k, s, p), [k, s, p])
case("group_norm", [[2, 6, 3], [6], [6]], lambda x, w, b: F.group_norm(x, 3, w, b), [3])
case("group_norm", [[2, 4, 2, 3], [4], [4]], lambda x, w, b: F.group_norm(x, 1, w, b), [1])
# Stride, padding, output padding, dilation, groups.
for s, p, o, d, g in [(1, 0, 0, 1, 1), (2, 1, 1, 1, 2), (3, 2, 2, 1, 1), (2, 0, 0, 2, 2), (3, 4, 1, 2, 1)]:
    config = dict(stride=s, padding=p, output_padding=o, dilation=d, groups=g)
    shapes = [[2, 4, 5, 4], [4, 6 // g, 3, 2], [6]]
    case("conv_transpose2d", shapes, lambda x, w, b: F.conv_transpose2d(x, w, b, **config), [s, p, o, d, g])
for size in ((1, 1), (2, 3), (5, 4)):
    case("adaptive_avg_pool2d", [[2, 3, 5, 7]], lambda x: F.adaptive_avg_pool2d(x, size), size)
ids = torch.tensor([[3, 0, 3], [1, 2, 3]])
case("embedding", [[5, 4]], lambda w: F.embedding(ids, w), ids.flatten().tolist())
case("padded embedding", [[5, 4]], lambda w: F.embedding(ids, w, padding_idx=3), ids.flatten().tolist())
# Lengths of one block and of several.
for length, keys in ((5, 7), (70, 140)):
    for causal in (0, 1):
        shapes = [[2, length, 3], [2, keys, 3], [2, keys, 4]]
        attention = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=bool(causal))
        case("attention", shapes, attention, [causal], 4.0)
multihead = torch.nn.MultiheadAttention(6, 3, batch_first=True)
names = [name for name, _ in multihead.named_parameters()]
for causal in (0, 1):
    mask = torch.nn.Transformer.generate_square_subsequent_mask(4) if causal else None

    def attend(x, *parameters):
        options = dict(need_weights=False, attn_mask=mask)
        return torch.func.functional_call(multihead, dict(zip(names, parameters)), (x, x, x), options)[0]

    case("multihead", [[2, 4, 6], [18, 6], [18], [6, 6], [6]], attend, [causal])
# One after the other: the outputs, and the last states.
state = [2, 1, 3]
for name, gates in (("lstm", 4), ("gru", 3)):

    def run(x, *tensors):
        parameters, states = tensors[:4], [state.transpose(0, 1).contiguous() for state in tensors[4:]]
        given = states if name == "lstm" else states[0]
        y, *last = getattr(torch._VF, name)(x, given, parameters, True, 1, 0.0, False, False, True)
        return torch.cat([y, *(state.transpose(0, 1) for state in last)], 1)

    weights = [[3 * gates, 5], [3 * gates, 3], [3 * gates], [3 * gates]]
    case(name, [[2, 4, 5], *weights, *[state] * (gates - 2)], run)


def steps(make, clip=None):
    """Two parameters, of which the second has no gradient in the first four of twelve steps."""
    a, b = (numbers(seed, [5]).requires_grad_() for seed in (1, 2))
    optimizer = make([a, b])
    for step in range(12):
        optimizer.zero_grad()
        used = a.sin().sum() + (a**2).sum()
        if step >= 4:
            used = used + (b.cos() * b).sum()
        used.backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([a, b], clip)
        optimizer.step()
    return [flat(a), flat(b)]


SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
optimizers = {
    "sgd": steps(lambda p: SGD(p, 0.1)),
    "momentum": steps(lambda p: SGD(p, 0.1, momentum=0.9)),
    "decay": steps(lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.05)),
    "nesterov": steps(lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.05, nesterov=True)),
    "clipped": steps(lambda p: SGD(p, 0.1, momentum=0.9), clip=0.5),
    "adam": steps(lambda p: Adam(p, 0.1)),
    "adam with decay": steps(lambda p: Adam(p, 0.1, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1)),
    "adamw": steps(lambda p: AdamW(p, 0.1)),
    "adamw with decay": steps(lambda p: AdamW(p, 0.1, betas=(0.8, 0.9), weight_decay=0.1)),
}
folder = Path(__file__).parent
text = json.dumps(dict(torch=torch.__version__, cases=cases, optimizers=optimizers))
(folder / "values.json").write_text(text.replace('{"operation"', '\n{"operation"') + "\n")
