"""Sprag against a peer on one model, interleaved, so that a shared and noisy machine treats both alike.

One round is A B B A: Sprag, the peer, the peer, Sprag, each in a fresh process. A process gives the median of its own
samples; a round gives two such values for each engine. Reported for prefill and decode: the ratio of the two engines' medians
(above 1: Sprag is faster) with a 95% interval from resampling whole rounds, and every raw sample with the machine's load
before it.

Usage: `python bench/peer.py MODEL.gguf [--rounds 5] [--depth 0] [--threads 2] [--repeat 3] [--json]`.
The peer is llama.cpp, or with `--peer` candle, once built, or mistralrs, once installed (see README.md). `--peer-only` runs it
alone. `--flash` takes llama.cpp's fused attention. `--realtime` gives both engines real-time priority (`chrt`, needs root): on a busy machine that is the difference between
noise and numbers; never ask for more threads than there are cores then. llama.cpp needs llama-cpp-python; the environment
variable LLAMA_CPP_LIB_PATH picks another build of its libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PHASES = ("prefill", "decode")
RESAMPLES = 4000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--sprag", default=str(ROOT / "target" / "release" / "sprag"))
    for name, value in {"rounds": 5, "depth": 0, "threads": 2, "repeat": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--peer", choices=("llama.cpp", "candle", "mistralrs"), default="llama.cpp")
    parser.add_argument("--peer-only", action="store_true")
    parser.add_argument("--flash", action="store_true")
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def command(engine: str, args: argparse.Namespace) -> list[str]:
    shape = ["--threads", str(args.threads), "--repeat", str(args.repeat)]
    priority = ["chrt", "-f", "10"] if args.realtime else []
    if engine == "candle":
        return [*priority, str(ROOT / "bench" / "candle" / "target" / "release" / "candle-bench"), args.model, *shape]
    if engine == "mistralrs":
        return [*priority, sys.executable, str(ROOT / "bench" / "mistralrs_bench.py"), args.model, *shape]
    shape += ["--depth", str(args.depth)]
    if engine == "sprag":
        return [*priority, args.sprag, "bench", args.model, "--json", *shape]
    shape += ["--flash"] if args.flash else []
    return [*priority, sys.executable, str(ROOT / "bench" / "llama_cpp_bench.py"), args.model, *shape]


def speeds(report: dict) -> dict[str, list[float]]:
    """Tokens per second of each phase: the one place that knows the engines' report format."""
    return {phase: [float(x) for x in report[phase]["tokens_per_second"]] for phase in PHASES}


def run(engine: str, args: argparse.Namespace) -> dict:
    """One fresh process of one engine: its raw samples, and the one-minute load before it started."""
    load = os.getloadavg()[0]
    # candle takes its number of threads from here.
    environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
    done = subprocess.run(command(engine, args), capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{engine} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return {"engine": engine, "load": round(load, 2), "samples": speeds(json.loads(done.stdout))}


def values(rounds: list[list[dict]], engine: str, phase: str) -> list[float]:
    return [statistics.median(r["samples"][phase]) for block in rounds for r in block if r["engine"] == engine]


def ratio(rounds: list[list[dict]], peer: str, phase: str) -> float:
    return statistics.median(values(rounds, "sprag", phase)) / statistics.median(values(rounds, peer, phase))


def interval(rounds: list[list[dict]], peer: str, phase: str) -> tuple[float, float]:
    """Percentile bootstrap over rounds, the unit that shares the machine's mood."""
    rng = random.Random(0)
    drawn = sorted(ratio(rng.choices(rounds, k=len(rounds)), peer, phase) for _ in range(RESAMPLES))
    return drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]


def summary(rounds: list[list[dict]], engines: list[str]) -> dict:
    out = {}
    for phase in PHASES:
        entry = {engine: statistics.median(values(rounds, engine, phase)) for engine in engines}
        if len(engines) == 2:
            peer = next(engine for engine in engines if engine != "sprag")
            entry["ratio"] = ratio(rounds, peer, phase)
            entry["interval_95"] = list(interval(rounds, peer, phase))
        out[phase] = entry
    return out


def show(report: dict) -> None:
    print(f"{report['model']}  {report['threads']} threads, depth {report['depth']}, {len(report['rounds'])} rounds")
    for phase, entry in report["summary"].items():
        speed = "   ".join(
            f"{engine} {value:.1f}" for engine, value in entry.items() if isinstance(value, float) and engine != "ratio"
        )
        line = f"  {phase:8} tokens/s: {speed}"
        if "ratio" in entry:
            low, high = entry["interval_95"]
            line += f"   ratio {entry['ratio']:.3f} [{low:.3f}, {high:.3f}]"
        print(line)
    for number, block in enumerate(report["rounds"]):
        for one in block:
            raw = "  ".join(f"{phase} " + " ".join(f"{x:.1f}" for x in one["samples"][phase]) for phase in PHASES)
            print(f"  round {number} {one['engine']:10} load {one['load']:5}  {raw}")


def main() -> None:
    args = arguments()
    if args.peer != "llama.cpp" and args.depth:
        raise SystemExit(f"{args.peer} is measured at depth 0 only")
    order = [args.peer] * 2 if args.peer_only else ["sprag", args.peer, args.peer, "sprag"]
    rounds = [[run(engine, args) for engine in order] for _ in range(args.rounds)]
    report = {
        "schema": 1,
        "model": pathlib.Path(args.model).name,
        "threads": args.threads,
        "realtime_priority": args.realtime,
        "depth": args.depth,
        "repeat": args.repeat,
        "summary": summary(rounds, sorted(set(order), reverse=True)),
        "rounds": rounds,
    }
    if args.json:
        print(json.dumps(report))
    else:
        show(report)


if __name__ == "__main__":
    main()
