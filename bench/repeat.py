#!/usr/bin/env python3
"""Do repeated runs of the lens agree within the ranges that it prints?

Runs `sprag lens MODEL --json` N times and takes every pair of runs. A pair agrees about a level if their ranges (the fastest reading to
the 95th percentile, and as wide as earlier runs of the same build differ, as printed) overlap, and strictly if each run's figure lies
within the other one's range. Speeds of a machine that others use drift: what is asked is whether the ranges say so. The runs are kept
in a home of their own, and the first four, which only teach the drift, are not counted. Python 3 alone.

    python3 bench/repeat.py target/release/sprag MODEL --runs 10 [-- --quick]
"""
import argparse
import itertools
import json
import os
import subprocess
import tempfile


def readings(report):
    for regime in ("prefill", "decode"):
        for level in report[regime]["levels"]:
            figure = level["ms_per_token"]
            if figure["state"] == "known" and figure["range"]:
                yield (regime, level["layer"]), (figure["typical"], figure["range"]["low"], figure["range"]["high"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sprag")
    parser.add_argument("model")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--learn", type=int, default=4, help="first runs that are not counted")
    parser.add_argument("rest", nargs="*", help="given to sprag lens, behind --")
    given = parser.parse_args()
    runs = []
    home = tempfile.mkdtemp(prefix="sprag-repeat-")
    environment = dict(os.environ, SPRAG_HOME=home)
    for number in range(given.runs):
        command = [given.sprag, "lens", given.model, "--json", *given.rest]
        found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        runs.append(dict(readings(json.loads(found.stdout))))
        speeds = [f"{regime} {1e3 / runs[-1][regime, 'step'][0]:.1f}" for regime in ("prefill", "decode")]
        print(f"run {number + 1}: {', '.join(speeds)} tokens/s in a step", flush=True)
    print(f"the runs are kept in {home}")
    runs = runs[given.learn :]
    pairs = list(itertools.combinations(runs, 2))
    all_good = all_strict = all_pairs = 0
    for key in runs[0]:
        good = strict = 0
        for one, other in pairs:
            (a, a_low, a_high), (b, b_low, b_high) = one[key], other[key]
            good += a_low <= b_high and b_low <= a_high
            strict += b_low <= a <= b_high and a_low <= b <= a_high
        all_good += good
        all_strict += strict
        all_pairs += len(pairs)
        lowest, highest = min(run[key][0] for run in runs), max(run[key][0] for run in runs)
        print(f"{key[0]:>8} {key[1]:<8} {good:>3} of {len(pairs)} pairs agree, {strict:>3} strictly; figures from {lowest:.4g} to {highest:.4g} ms")
    print(f"{100 * all_good / all_pairs:.0f}% of all pairs agree (90% asked), {100 * all_strict / all_pairs:.0f}% strictly")


if __name__ == "__main__":
    main()
