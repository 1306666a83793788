"""Models that `sprag train` exports, in llama.cpp: the same perplexity of `data/perplexity.txt`?

    cargo build --release
    python3 -m venv venv && venv/bin/pip install -r fixtures/requirements.txt
    venv/bin/python bench/exports.py target/release/sprag [--steps 150]

One small model for each architecture of GGUF that training exports, a few minutes of training each on two processors. Both engines score the
first 60 windows of 256 tokens, keys and values in f32.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "fixtures"))
import llama_cpp_session  # noqa: E402
import make_oracle  # noqa: E402

WINDOW, WINDOWS = 256, 60
MODEL = "[model]\nlayers = 4\nwidth = 128\nheads = 4\nkv_heads = 2\nhead_dim = 32\nhidden = 352\n"
STEPS = f"[steps]\nsequences = 4\npositions = {WINDOW}\n"
KINDS = {
    "llama": 'mixers = ["full"]\n',
    "qwen3": 'mixers = ["full"]\nhead_norms = true\n',
    "qwen35": 'mixers = ["gated_delta", "gated_delta", "gated_delta", "full"]\nhead_norms = true\noutput_gate = true\n',
}

parser = argparse.ArgumentParser()
parser.add_argument("sprag", type=pathlib.Path)
parser.add_argument("--steps", type=int, default=150)
given = parser.parse_args()
sprag = str(given.sprag.resolve())
llama_cpp_session.quiet()

with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    for kind, more in KINDS.items():
        settings, run = folder / f"{kind}.toml", folder / kind
        settings.write_text(MODEL + more + STEPS)
        train = [sprag, "train", "--settings", settings, "--steps", str(given.steps), "--out", run, "--json"]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        model = run / "model.gguf"
        score = [sprag, "perplexity", model, make_oracle.TEXT, "--window", str(WINDOW), "--windows", str(WINDOWS), "--kv-type", "f32", "--json"]
        ours = json.loads(subprocess.run(score, check=True, capture_output=True, text=True).stdout)["mean_nll"]
        session = llama_cpp_session.Session(model, WINDOW, n_batch=make_oracle.PIECE, kv_f32=True)
        windows = make_oracle.windows(session, make_oracle.TEXT.read_text(), WINDOW)[:WINDOWS]
        theirs = sum(make_oracle.window_loss(session, window) for window in windows) / (WINDOWS * (WINDOW - 1))
        session.close()
        print(f"{kind}: sprag {math.exp(ours):.6f}, llama.cpp {math.exp(theirs):.6f}, {math.expm1(ours - theirs):+.1e}", flush=True)
