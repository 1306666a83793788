"""Training steps of Sprag and of PyTorch in turns: medians of all steps but each process's first, and the ratio.

    cargo build --release -p train --example speed
    venv/bin/python bench/train.py target/release/examples/speed [--rounds 4] [--kinds f32 bf16 hybrid]

Both run the model of `sprag train`'s default settings: 6 layers of 384, 256 tokens of context, 8 sequences, bytes, AdamW, 2 threads.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

parser = argparse.ArgumentParser()
parser.add_argument("sprag")
parser.add_argument("--rounds", type=int, default=4)
parser.add_argument("--steps", type=int, default=6)
parser.add_argument("--kinds", nargs="+", default=["f32", "bf16", "hybrid"])
given = parser.parse_args()
torch = pathlib.Path(__file__).with_name("torch_train.py")
WORDS = {
    "f32": (["f32", "full"], []),
    "bf16": (["bf16", "full"], ["--bf16"]),
    "hybrid": (["f32", "hybrid"], ["--hybrid"]),
}


def run(words):
    """The last line, and the peak of resident memory of this process in MB."""
    child = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    said = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    if status:
        sys.exit(f"{words[0]} failed")
    return json.loads(said.splitlines()[-1])["seconds"][1:], used.ru_maxrss / 1e3


for kind in given.kinds:
    ours, theirs = WORDS[kind]
    # A step of PyTorch's bfloat16 takes seconds where the processor has no such products.
    steps = str(given.steps)
    seconds, peaks = {"sprag": [], "torch": []}, {"sprag": 0.0, "torch": 0.0}
    for number in range(given.rounds):
        turns = [("sprag", [given.sprag, steps, *ours]), ("torch", [sys.executable, str(torch), "--steps", steps, *theirs])]
        for name, words in turns if number % 2 == 0 else turns[::-1]:
            some, peak = run(words)
            seconds[name] += some
            peaks[name] = max(peaks[name], peak)
    rates = {name: 2048 / statistics.median(some) for name, some in seconds.items()}
    print(
        f"{kind}: sprag {rates['sprag']:.0f} tokens/s, {peaks['sprag']:.0f} MB; torch {rates['torch']:.0f} tokens/s, {peaks['torch']:.0f} MB; "
        f"ratio {rates['sprag'] / rates['torch']:.2f}",
        flush=True,
    )
