"""PyTorch's side of the training comparison: tokens per second of whole steps (forward, backward, clipping, AdamW) of the model that
`sprag train` makes by default, with the same shapes, on CPU.

    python3 -m venv venv && venv/bin/pip install torch numpy
    venv/bin/python bench/torch_train.py [--bf16] [--hybrid] [--batch 8] [--steps 6] [--compile]

Prints a JSON line: seconds of each step, peak resident memory.
"""

import argparse
import json
import os
import resource
import time

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
parser.add_argument("--hybrid", action="store_true", help="three Gated DeltaNet layers for each of attention")
parser.add_argument("--batch", type=int, default=8)
parser.add_argument("--positions", type=int, default=256)
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--compile", action="store_true")
given = parser.parse_args()

LAYERS, WIDTH, HEADS, DIM, HIDDEN, VOCABULARY = 6, 384, 6, 64, 1024, 256


def turn(x, cosine, sine):
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * HEADS * DIM, bias=False)
        self.out = nn.Linear(HEADS * DIM, WIDTH, bias=False)

    def forward(self, x, rope):
        b, t, _ = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, HEADS, DIM).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(turn(q, *rope), turn(k, *rope), v, is_causal=True)
        return self.out(out.transpose(1, 2).reshape(b, t, HEADS * DIM))


class DeltaNet(nn.Module):
    """Gated DeltaNet in its chunked form (Yang, Kautz and Hatamizadeh, 2024): what of a chunk of 64 does not depend on the state, for all
    chunks at once; then the state from chunk to chunk."""

    CHUNK = 64

    def __init__(self):
        super().__init__()
        inner = HEADS * DIM
        self.qkv = nn.Linear(WIDTH, 3 * inner, bias=False)
        self.z = nn.Linear(WIDTH, inner, bias=False)
        self.a = nn.Linear(WIDTH, HEADS, bias=False)
        self.b = nn.Linear(WIDTH, HEADS, bias=False)
        self.conv = nn.Conv1d(3 * inner, 3 * inner, 4, groups=3 * inner, padding=3, bias=False)
        self.a_log = nn.Parameter(torch.rand(HEADS).mul(15).add(1).log())
        self.dt = nn.Parameter(torch.ones(HEADS))
        self.norm = nn.RMSNorm(DIM, eps=1e-6)
        self.out = nn.Linear(inner, WIDTH, bias=False)

    def forward(self, x, rope):
        n, t, _ = x.shape
        qkv = F.silu(self.conv(self.qkv(x).transpose(1, 2))[..., :t]).transpose(1, 2)
        q, k, v = (part.view(n, t, HEADS, DIM).transpose(1, 2).float() for part in qkv.chunk(3, -1))
        q = q * torch.rsqrt((q * q).sum(-1, keepdim=True) + 1e-6) / DIM**0.5
        k = k * torch.rsqrt((k * k).sum(-1, keepdim=True) + 1e-6)
        beta = self.b(x).float().sigmoid().transpose(1, 2)
        g = (-self.a_log.exp() * F.softplus(self.a(x).float() + self.dt)).transpose(1, 2)
        with torch.autocast("cpu", enabled=False):
            o = self.chunked(q, k, v, g, beta)
        o = self.norm(o.transpose(1, 2)) * F.silu(self.z(x).view(n, t, HEADS, DIM).float())
        return self.out(o.reshape(n, t, HEADS * DIM))

    def chunked(self, q, k, v, g, beta):
        n, h, t, d = q.shape
        c = self.CHUNK
        cut = lambda y: y.reshape(n, h, t // c, c, *y.shape[3:])
        q, k, v, g, beta = map(cut, (q, k, v, g, beta))
        g = g.cumsum(-1)
        lower = torch.ones(c, c, dtype=torch.bool).tril()
        decay = (g[..., :, None] - g[..., None, :]).masked_fill(~lower, float("-inf")).exp()
        kb, vb = k * beta[..., None], v * beta[..., None]
        a = ((kb @ k.transpose(-1, -2)) * decay).tril(-1) + torch.eye(c)
        both = torch.cat([vb, kb * g.exp()[..., None]], -1)
        u, w = torch.linalg.solve_triangular(a, both, upper=False, unitriangular=True).chunk(2, -1)
        within = (q @ k.transpose(-1, -2)) * decay
        state = q.new_zeros(n, h, d, d)
        outs = []
        for i in range(t // c):
            fresh = u[:, :, i] - w[:, :, i] @ state
            gi = g[:, :, i]
            outs.append((q[:, :, i] * gi.exp()[..., None]) @ state + within[:, :, i] @ fresh)
            last = gi[..., -1:]
            state = state * last.exp()[..., None] + (k[:, :, i] * (last - gi).exp()[..., None]).transpose(-1, -2) @ fresh
        return torch.stack(outs, 2).reshape(n, h, t, d)


class Block(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH, eps=1e-5), nn.RMSNorm(WIDTH, eps=1e-5)
        self.mixer = DeltaNet() if given.hybrid and layer % 4 != 3 else Attention()
        self.up = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x, rope):
        x = x + self.mixer(self.norm1(x), rope)
        gate, up = self.up(self.norm2(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.blocks = nn.ModuleList(Block(layer) for layer in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, eps=1e-5)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        angles = torch.arange(given.positions)[:, None] * 10000.0 ** (-torch.arange(0, DIM, 2) / DIM)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def forward(self, tokens, targets):
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x, (self.cosine, self.sine))
        return F.cross_entropy(self.head(self.norm(x)).float().view(-1, VOCABULARY), targets.view(-1))


def main():
    torch.manual_seed(1)
    torch.set_num_threads(given.threads)
    model = Model()
    run = torch.compile(model) if given.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(VOCABULARY, (given.batch, given.positions))
    targets = torch.randint(VOCABULARY, (given.batch, given.positions))
    seconds = []
    for _ in range(given.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=given.bf16):
            loss = run(tokens, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
    said = {
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": [round(s, 4) for s in seconds],
        "tokens_per_second": round(given.batch * given.positions / sorted(seconds[1:])[len(seconds[1:]) // 2], 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1),
    }
    print(json.dumps(said))


os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
main()
