"""llama.cpp's prefill and decode speed in one fresh process, reported in the shape of `sprag bench --json`.

Usage: `python llama_cpp_bench.py MODEL [--prefill 512] [--decode 128] [--depth 0] [--threads 2] [--repeat 3] [--plain] [--flash]`.
The rules are those of llama.cpp's own benchmark: random tokens, one untimed warm-up of both phases, an empty memory before every
sample; at a depth, that many tokens are put in first, untimed. Decode feeds one random token at a time and reads no logits.
`--plain` keeps llama.cpp from rearranging weights for its fastest products; `--flash` takes its fused attention. Speeds are tokens per second.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fixtures"))

import llama_cpp  # noqa: E402
import llama_cpp_session  # noqa: E402

SEED = 7


def prefill_speed(session: llama_cpp_session.Session, tokens: list[int], depth: list[int]) -> float:
    session.reset()
    session.decode(depth)
    start = time.perf_counter()
    session.decode(tokens)
    return len(tokens) / (time.perf_counter() - start)


def decode_speed(session: llama_cpp_session.Session, tokens: list[int], depth: list[int]) -> float:
    session.reset()
    session.decode(depth)
    start = time.perf_counter()
    for token in tokens:
        session.decode([token])
    return len(tokens) / (time.perf_counter() - start)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    for name, value in {"prefill": 512, "decode": 128, "depth": 0, "threads": 2, "repeat": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--flash", action="store_true")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    llama_cpp_session.quiet()
    room = args.depth + max(args.prefill, args.decode)
    session = llama_cpp_session.Session(args.model, room, threads=args.threads, repack=not args.plain, flash=args.flash)
    rng = random.Random(SEED)
    depth, prompt, answer = (
        [rng.randrange(session.n_vocab) for _ in range(count)] for count in (args.depth, args.prefill, args.decode)
    )
    prefill_speed(session, prompt, [])
    decode_speed(session, answer[:8], [])
    report = {
        "engine": "llama.cpp",
        "llama_cpp_python": llama_cpp.__version__,
        "system_info": llama_cpp_session.system_info().strip(),
        "repack": not args.plain,
        "threads": args.threads,
        "depth": args.depth,
        "prefill": {"tokens": args.prefill, "tokens_per_second": []},
        "decode": {"tokens": args.decode, "tokens_per_second": []},
    }
    for _ in range(args.repeat):
        report["prefill"]["tokens_per_second"].append(prefill_speed(session, prompt, depth))
        report["decode"]["tokens_per_second"].append(decode_speed(session, answer, depth))
    session.close()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
