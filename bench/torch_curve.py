"""Repeats a run of `sprag train` with PyTorch: the same weights at the beginning, the same batches, AdamW; compares losses and the norms of
all gradients, step by step.

    cargo run --release -p train --example curve -- /tmp/curve 100 TEXT...
    venv/bin/python bench/torch_curve.py /tmp/curve
"""

import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

folder = pathlib.Path(sys.argv[1])
raw = (folder / "initial.safetensors").read_bytes()
size = int.from_bytes(raw[:8], "little")
head, body = json.loads(raw[8 : 8 + size]), raw[8 + size :]
tensor = lambda name: np.frombuffer(body[slice(*head[name]["data_offsets"])], "<f4").reshape(head[name]["shape"]).copy()
about = json.loads(body[slice(*head["about"]["data_offsets"])])
model, steps, moves = about["model"], about["steps"], about["optimisation"]
weights = {n.removeprefix("weights."): nn.Parameter(torch.from_numpy(tensor(n))) for n in head if n.startswith("weights.")}
theirs = json.loads((folder / "losses.json").read_text())
shape = (len(theirs), 2, steps["sequences"], steps["positions"])
batches = torch.from_numpy(np.frombuffer((folder / "batches.bin").read_bytes(), np.uint8).reshape(shape).copy()).long()

heads, dim, eps = model["heads"], model["head_dim"], model["eps"]
assert model["mixers"] == ["full"] and model["mlp"] == "swiglu" and heads == model["kv_heads"] and not model["tied"]
angles = torch.arange(steps["positions"], dtype=torch.float64)[:, None] * model["rope_base"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
cosine, sine = angles.cos().float(), angles.sin().float()


def norm(x, name):
    return F.rms_norm(x, x.shape[-1:], weights[name].flatten(), eps)


def split(x, name):
    b, t, _ = x.shape
    return F.linear(x, weights[name]).view(b, t, heads, dim).transpose(1, 2)


def turn(x):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


def loss_of(tokens, targets):
    x = weights["token_embd.weight"][tokens]
    for layer in range(model["layers"]):
        name = lambda what: f"blk.{layer}.{what}.weight"
        y = norm(x, name("attn_norm"))
        q, k, v = (split(y, name(f"attn_{part}")) for part in "qkv")
        y = F.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True)
        x = x + F.linear(y.transpose(1, 2).flatten(2), weights[name("attn_output")])
        y = norm(x, name("ffn_norm"))
        y = F.silu(F.linear(y, weights[name("ffn_gate")])) * F.linear(y, weights[name("ffn_up")])
        x = x + F.linear(y, weights[name("ffn_down")])
    return F.cross_entropy(F.linear(norm(x, "output_norm.weight"), weights["output.weight"]).flatten(0, 1), targets.flatten())


is_matrix = lambda name: name.startswith("blk.") and "norm" not in name
groups = [
    {"params": [w for n, w in weights.items() if is_matrix(n)], "weight_decay": moves["decay"]},
    {"params": [w for n, w in weights.items() if not is_matrix(n)], "weight_decay": 0.0},
]
optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(moves["beta1"], moves["beta2"]), eps=moves["eps"])
torch.set_num_threads(2)
worst, worst_norm = 0.0, 0.0
for number, (loss, gradient_norm, rate) in enumerate(theirs):
    for group in optimizer.param_groups:
        group["lr"] = rate
    mine = loss_of(*batches[number])
    optimizer.zero_grad()
    mine.backward()
    my_norm = nn.utils.clip_grad_norm_(list(weights.values()), moves["clip"]).item()
    optimizer.step()
    worst = max(worst, abs(mine.item() - loss))
    worst_norm = max(worst_norm, abs(my_norm / gradient_norm - 1))
    if number % 10 == 0 or number == len(theirs) - 1:
        print(f"step {number + 1}: sprag {loss:.6f} torch {mine.item():.6f}; norms {gradient_norm:.6f} {my_norm:.6f}", flush=True)
print(f"largest difference of the losses {worst:.2e}, of the norms {worst_norm:.2e} of the norm, over {len(theirs)} steps")
