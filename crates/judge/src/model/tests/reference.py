"""Writes `reference.json`: scores of small random models, computed by numpy in other ways than the judge's.

Usage: `python reference.py`.

Weights are drawn from a hash of the tensor's name, so that no file has to be kept: the test draws the same. What is done otherwise here:
attention is one masked matrix for a head; the delta rule is a triangular system solved at once for all tokens (with G the running sum
of g, D the corrections: (I + T) D = beta V, where T_ij = beta_i exp(G_i - G_j) k_i.k_j for j < i); pieces are cut by the published
pattern with its classes spelled out as the text's own characters; pairs are merged one at a time.
"""

from __future__ import annotations

import json
import pathlib
import re
import unicodedata

import numpy as np

MASK = (1 << 64) - 1
TEXT = (
    "The cat's hat, the other hat; they're  here at 12:30.\n\n  We'll see:\tthe end -- it's 'so' late!   \n"
    "\0Grüße aus Köln, где тепло; 東京は晴れ、½ and Ⅷ. The hat\u00a0is there.\n \n"
    "\0\0aaaaaaa the the the therethere x  "
)
MERGES = [
    [116, 104], [256, 101], [32, 257], [97, 116], [104, 259], [32, 260], [97, 97], [262, 262], [32, 32], [257, 114],
    [258, 114], [39, 115], [208, 181], [10, 10], [195, 188], [266, 101], [32, 119], [115, 101], [270, 159], [263, 97],
]

EVERYTHING = {
    "vocabulary": 256 + len(MERGES), "layers": 5, "width": 24, "mixers": ["gated_delta", "gated_delta", "gated_delta", "window", "full"],
    "heads": 4, "kv_heads": 2, "head_dim": 16, "window": 7, "mlp": "swiglu", "hidden": 40, "tied": False, "soft_cap": 3.5,
    "rope_base": 500.0, "eps": 1e-5, "head_norms": True, "output_gate": True, "value_residual": True,
}
PLAIN = {
    "vocabulary": 256, "layers": 3, "width": 20, "mixers": ["window", "gated_delta"],
    "heads": 2, "kv_heads": 2, "head_dim": 32, "window": 150, "mlp": "squared_relu", "hidden": 33, "tied": True, "soft_cap": None,
    "rope_base": 10000.0, "eps": 1e-6, "head_norms": False, "output_gate": False, "value_residual": False,
}
CASES = [
    (EVERYTHING, 48, {"merges": MERGES}, 1024),
    (EVERYTHING, 1024, {"merges": MERGES}, 1024),
    (PLAIN, 4096, None, 200),
]


def draw(name: str, rows: int, columns: int) -> np.ndarray:
    """FNV-1a of the name, then SplitMix64; 24 bits each, so that f32 holds them exactly before they are scaled."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 & MASK
    unit = []
    for _ in range(rows * columns):
        state = state + 0x9E3779B97F4A7C15 & MASK
        z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        unit.append(((z ^ z >> 31) >> 40) / (1 << 24) - 0.5)
    offset = 1.0 if name.endswith("norm.weight") else 0.0
    scale = 1.0 if rows == 1 else 4.0 / np.sqrt(columns)
    return (np.array(unit).reshape(rows, columns) * scale + offset).astype(np.float32).astype(np.float64)


def tokens_of(text: str, tokenizer: dict | None) -> list[int]:
    if tokenizer is None:
        return list(text.encode())
    ranks = {tuple(pair): rank for rank, pair in reversed(list(enumerate(tokenizer["merges"])))}
    of = lambda kind: "".join(sorted({re.escape(c) for c in text if unicodedata.category(c)[0] == kind})) or "\ud800"
    letters, numbers = of("L"), of("N")
    pattern = rf"'s|'t|'re|'ve|'m|'ll|'d| ?[{letters}]+| ?[{numbers}]+| ?[^\s{letters}{numbers}]+|\s+(?!\S)|\s+"
    found = []
    for piece in re.findall(pattern, text):
        ids = list(piece.encode())
        while pairs := [(ranks[pair], at) for at, pair in enumerate(zip(ids, ids[1:])) if pair in ranks]:
            rank, at = min(pairs)
            ids[at : at + 2] = [256 + rank]
        found += ids
    return found


def rms(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def sigmoid(x):
    return 0.5 * (1 + np.tanh(x / 2))


def split(x, heads):
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def rotated(x, base):
    """(heads, tokens, head_dim), as complex numbers of channel i and i + head_dim / 2."""
    half = x.shape[-1] // 2
    angle = np.outer(np.arange(x.shape[1]), base ** (-np.arange(half) / half))
    turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], -1)


def attention(h, c, prefix, is_window, shared):
    heads, kv, dim = c["heads"], c["kv_heads"], c["head_dim"]
    w = lambda name, rows: draw(f"{prefix}attn_{name}.weight", rows, c["width"])
    q, k, v = h @ w("q", heads * dim).T, h @ w("k", kv * dim).T, h @ w("v", kv * dim).T
    if c["value_residual"]:
        v = 0.5 * v + 0.5 * shared.setdefault("v", v)
    q, k, v = split(q, heads), split(k, kv), split(v, kv)
    if c["head_norms"]:
        q = rms(q, draw(f"{prefix}attn_q_norm.weight", 1, dim)[0], c["eps"])
        k = rms(k, draw(f"{prefix}attn_k_norm.weight", 1, dim)[0], c["eps"])
    q, k = rotated(q, c["rope_base"]), rotated(k, c["rope_base"])
    k, v = np.repeat(k, heads // kv, 0), np.repeat(v, heads // kv, 0)
    ages = np.subtract.outer(np.arange(len(h)), np.arange(len(h)))
    hidden = (ages < 0) | (ages >= c["window"] if is_window else False)
    shares = np.where(hidden, -np.inf, q @ k.transpose(0, 2, 1) / np.sqrt(dim))
    shares = np.exp(shares - shares.max(-1, keepdims=True))
    out = (shares / shares.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(h), -1)
    if c["output_gate"]:
        out = out * sigmoid(h @ w("gate", heads * dim).T)
    return out @ draw(f"{prefix}attn_output.weight", c["width"], heads * dim).T


def delta(h, c, prefix):
    heads, dim, tokens = c["heads"], c["head_dim"], len(h)
    inner = heads * dim
    w = lambda name, rows, columns=c["width"]: draw(f"{prefix}delta_{name}.weight", rows, columns)

    def projected(name):
        x, taps = h @ w(name, inner).T, w(f"conv_{name}", inner, 4)
        y = np.stack([np.convolve(x[:, i], taps[i, ::-1])[:tokens] for i in range(inner)], 1)
        return split(y * sigmoid(y), heads)

    q, k, v = projected("q"), projected("k"), projected("v")
    q = q / np.sqrt((q * q).sum(-1, keepdims=True) + 1e-6) / np.sqrt(dim)
    k = k / np.sqrt((k * k).sum(-1, keepdims=True) + 1e-6)
    a_log, bias = draw(f"{prefix}delta_a_log", 1, heads)[0], draw(f"{prefix}delta_dt_bias", 1, heads)[0]
    g = -np.exp(a_log) * np.logaddexp(0, h @ w("a", heads).T + bias)
    beta = sigmoid(h @ w("b", heads).T).T[:, :, None]
    total = np.cumsum(g, 0).T
    decay = np.tril(np.exp(np.minimum(total[:, :, None] - total[:, None, :], 0)))
    system = np.eye(tokens) + np.tril(beta * decay * (k @ k.transpose(0, 2, 1)), -1)
    out = (decay * (q @ k.transpose(0, 2, 1))) @ np.linalg.solve(system, beta * v)
    out = rms(out, w("norm", 1, dim)[0], c["eps"]).transpose(1, 0, 2).reshape(tokens, inner)
    gate = h @ w("gate", inner).T
    return (out * gate * sigmoid(gate)) @ w("output", c["width"], inner).T


def mlp(h, c, prefix):
    w = lambda name, rows, columns: draw(f"{prefix}ffn_{name}.weight", rows, columns)
    inner = h @ w("up", c["hidden"], c["width"]).T
    if c["mlp"] == "swiglu":
        gate = h @ w("gate", c["hidden"], c["width"]).T
        inner = inner * gate * sigmoid(gate)
    else:
        inner = np.maximum(inner, 0) ** 2
    return inner @ w("down", c["width"], c["hidden"]).T


def nats(inputs, targets, c):
    x, shared = draw("token_embd.weight", c["vocabulary"], c["width"])[inputs], {}
    norm = lambda name: draw(f"{name}.weight", 1, c["width"])[0]
    for layer in range(c["layers"]):
        prefix, mixer = f"blk.{layer}.", c["mixers"][layer % len(c["mixers"])]
        h = rms(x, norm(f"{prefix}attn_norm"), c["eps"])
        x = x + (delta(h, c, prefix) if mixer == "gated_delta" else attention(h, c, prefix, mixer == "window", shared))
        x = x + mlp(rms(x, norm(f"{prefix}ffn_norm"), c["eps"]), c, prefix)
    head = draw("token_embd.weight" if c["tied"] else "output.weight", c["vocabulary"], c["width"])
    logits = rms(x, norm("output_norm"), c["eps"]) @ head.T
    if c["soft_cap"] is not None:
        logits = c["soft_cap"] * np.tanh(logits / c["soft_cap"])
    each = np.logaddexp.reduce(logits, -1) - logits[np.arange(len(targets)), targets]
    return float(each[np.array(targets) != 0].sum())


def score(c, positions, tokenizer, window):
    stream = [token for document in TEXT.split("\0") for token in [0, *tokens_of(document, tokenizer)]]
    w, total = min(window, positions), 0.0
    for start in range(0, len(stream) - 1, w):
        targets = stream[start + 1 : start + w + 1]
        total += nats(stream[start : start + w][: len(targets)], targets, c)
    return stream, total / np.log(2) / len(TEXT.replace("\0", "").encode())


def main() -> None:
    cases = []
    for configuration, positions, tokenizer, window in CASES:
        about = {"schema": "sprag.model/1", "model": configuration, "positions": positions, "tokenizer": tokenizer}
        stream, bits = score(configuration, positions, tokenizer, window)
        cases.append({"about": about, "window": window, "stream": stream, "bits_per_byte": bits})
    found = json.dumps({"text": TEXT, "cases": cases}, indent=None)
    pathlib.Path(__file__).with_suffix(".json").write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
