"""Every operation of training beside PyTorch: results and all gradients of our kernels against autograd in float64, on the same inputs.

    cargo build --release -p kernels --example training_ops
    venv/bin/python bench/torch_ops.py target/release/examples/training_ops [--tolerance 5e-6]

Prints the largest difference of each tensor relative to its largest element, and exits with 1 where one is beyond the tolerance. The
forward passes below are written from the definitions (the delta rule as a loop over tokens); the backward passes are autograd's.
"""

import argparse
import collections
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("example")
parser.add_argument("--tolerance", type=float, default=5e-6)
given = parser.parse_args()
torch.set_default_dtype(torch.float64)


def attention(i, of):
    q, k, v = (i[name].transpose(1, 2) for name in "qkv")
    group = q.shape[1] // k.shape[1]
    k, v = (x.repeat_interleave(group, 1) for x in (k, v))
    position = torch.arange(q.shape[2])
    back = position[:, None] - position
    seen = (back >= 0) & (back < of["window"].item())
    scores = (q @ k.transpose(2, 3) * of["scale"]).masked_fill(~seen, -torch.inf)
    return {"y": (scores.softmax(-1) @ v).transpose(1, 2)}


def cross_entropy(i, of):
    logits = i["hidden"] @ i["weights"].T
    if cap := of["soft_cap"].item():
        logits = cap * (logits / cap).tanh()
    return {"losses": F.cross_entropy(logits, of["targets"].long(), ignore_index=-1, reduction="none")}


def rms_norm(x, weight, eps):
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def l2_norm(i, of):
    return {"y": of["scale"] * i["x"] / (i["x"].square().sum(-1, keepdim=True) + of["eps"]).sqrt()}


def rope(i, of):
    x, pairs = i["x"], int(of["rotated"].item()) // 2
    frequencies = of["base"] ** (-torch.arange(pairs) / pairs)
    angles = (torch.arange(x.shape[1])[:, None] * frequencies)[:, None]
    a, b, rest = x[..., :pairs], x[..., pairs : 2 * pairs], x[..., 2 * pairs :]
    turned = [a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()]
    return {"y": torch.cat([*turned, rest], -1)}


def causal_conv(i, of):
    x = F.pad(i["x"].transpose(1, 2), (3, 0))
    y = F.conv1d(x, i["weight"][:, None], groups=x.shape[1])
    return {"y": F.silu(y).transpose(1, 2)}


def delta_gates(i, of):
    g = -i["a_log"].exp() * F.softplus(i["a"] + i["dt_bias"], threshold=1e9)
    return {"g": g, "beta": i["b"].sigmoid()}


def gated_delta(i, of):
    heads = i["v"].shape[2]
    keys = i["k"].shape[2]
    used = torch.arange(heads)
    used = used % keys if of["tiled"].item() else used // (heads // keys)
    q, k = i["q"][:, :, used], i["k"][:, :, used]
    state = torch.zeros(q.shape[0], heads, q.shape[3], i["v"].shape[3])
    y = []
    for t in range(q.shape[1]):
        state = state * i["g"][:, t, :, None, None].exp()
        read = torch.einsum("shkv,shk->shv", state, k[:, t])
        change = i["beta"][:, t, :, None] * (i["v"][:, t] - read)
        state = state + torch.einsum("shk,shv->shkv", k[:, t], change)
        y.append(torch.einsum("shkv,shk->shv", state, q[:, t]))
    return {"y": torch.stack(y, 1)}


OPERATIONS = {
    "gemm": lambda i, of: {"c": i["a"] @ i["b"]},
    "attention": attention,
    "attention, window": attention,
    "cross entropy": cross_entropy,
    "cross entropy, soft cap": cross_entropy,
    "rms norm": lambda i, of: {"y": rms_norm(i["x"], i["weight"], of["eps"])},
    "rope": rope,
    "embed": lambda i, of: {"y": i["table"][of["tokens"].long()]},
    "swiglu": lambda i, of: {"y": F.silu(i["a"]) * i["b"]},
    "squared relu": lambda i, of: {"y": F.relu(i["a"]).square()},
    "sigmoid gate": lambda i, of: {"y": i["a"] * i["b"].sigmoid()},
    "causal conv": causal_conv,
    "l2 norm": l2_norm,
    "gated norm": lambda i, of: {"y": rms_norm(i["x"], i["weight"], of["eps"]) * F.silu(i["z"])},
    "delta gates": delta_gates,
    "gated delta": gated_delta,
    "gated delta, tiled": gated_delta,
}


def read(folder):
    """The tensors of one operation, by kind and name."""
    tensors = collections.defaultdict(dict)
    for path in sorted(folder.glob("*.f32")):
        kind, name, shape, _ = path.name.split(".")
        shape = [int(size) for size in shape.split("x")]
        values = numpy.fromfile(path, "<f4").reshape(shape)
        tensors[kind][name] = torch.from_numpy(values.astype(numpy.float64))
    return tensors


def differences(operation, tensors):
    """Of each result and gradient, the largest difference relative to the largest element."""
    operands = {name: x.requires_grad_() for name, x in tensors["in"].items()}
    results = OPERATIONS[operation](operands, tensors["of"])
    loss = sum((results[name] * up).sum() for name, up in tensors["up"].items())
    gradients = dict(zip(operands, torch.autograd.grad(loss, list(operands.values()))))
    if results.keys() != tensors["out"].keys() or gradients.keys() != tensors["grad"].keys():
        sys.exit(f"{operation}: {given.example} has other tensors than this script: build both from one commit")
    for kind, wanted, got in [("", results, tensors["out"]), ("d ", gradients, tensors["grad"])]:
        for name, want in wanted.items():
            yield kind + name, ((got[name] - want).abs().max() / want.abs().max()).item()


beyond = 0
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([given.example, folder], check=True)
    written = {path.name for path in pathlib.Path(folder).iterdir()}
    if written != OPERATIONS.keys():
        sys.exit(f"{given.example} wrote {sorted(written ^ OPERATIONS.keys())} or did not: build both from one commit")
    for operation in OPERATIONS:
        for name, difference in differences(operation, read(pathlib.Path(folder, operation))):
            # A NaN is beyond it too.
            fits = difference <= given.tolerance
            beyond += not fits
            print(f"{operation:24} {name:10} {difference:8.1e}{'' if fits else '  beyond the tolerance'}")
sys.exit(beyond > 0)
