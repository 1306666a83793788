"""The ratchet's search beside Optuna's: the best bits per byte after N experiments of the track `train`, same candidate, same knobs, same budget.

    cargo build --release && cargo xtask layer train-candidate tracks/train/layer
    python3 -m venv venv && venv/bin/pip install optuna cmaes
    venv/bin/python bench/search.py target/release/sprag [--experiments 15] [--units 60000] [--seconds 20] [--seeds 3]

Ours is `sprag ratchet run tracks/train --budget UNITS:SECONDS` in a fresh clone for each seed; Optuna's samplers get the knobs of `track.toml`,
the first champion's as their first point (ours measures it too), run the same program on as much of the same server's text, and are told the
same judge's score on public data. Prints a line for each run and the medians. What fails counts as 8 bits a byte, which is what a model knows
that knows nothing. A budget of raw bytes, and not of time, so that what else runs on the machine changes no score.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

parser = argparse.ArgumentParser()
parser.add_argument("sprag", type=pathlib.Path)
parser.add_argument("--experiments", type=int, default=15)
parser.add_argument("--units", type=int, default=60_000)
parser.add_argument("--seconds", type=int, default=20)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--only", nargs="+", choices=["sprag", "tpe", "cma"], default=["sprag", "tpe", "cma"])
given = parser.parse_args()

SPRAG = given.sprag.resolve()
ROOT = pathlib.Path(__file__).resolve().parent.parent
TRACK = ROOT / "tracks" / "train"
WORST = 8.0


def knobs():
    track = tomllib.loads((TRACK / "track.toml").read_text())
    return [knob for one in track["proposer"] if one["kind"] == "search" for knob in one["knob"]]


def run_program(folder, seed):
    """The program with a server of text, counted as the engine counts it; true when it left a model in time."""
    server = subprocess.Popen([SPRAG, "judge", "feed"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "SPRAG_SEED": str(seed)})
    program = subprocess.Popen(
        ["./program"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "SPRAG_SEED": str(seed), "SPRAG_SECONDS": str(given.seconds)},
    )

    def relay():
        left = given.units
        for question in program.stdout:
            units, text = 0, b""
            if left > 0:
                server.stdin.write(b"%d " % left + question)
                server.stdin.flush()
                units, size = map(int, server.stdout.readline().split())
                text = server.stdout.read(size)
                left -= units
            try:
                program.stdin.write(b"%d %d %d\n" % (units, len(text), left) + text)
                program.stdin.flush()
            except BrokenPipeError:
                return

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        done = program.wait(given.seconds) == 0
    except subprocess.TimeoutExpired:
        done = False
    program.kill()
    server.kill()
    return done


def measure(values, number, seed):
    """Bits per byte of the candidate with these literals."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lines = (TRACK / "candidate" / "knobs.toml").read_text().splitlines()
        for knob, value in values:
            start, end = knob["line"].split("{}")
            text = value if isinstance(value, str) else json.dumps(value)
            lines = [start + text + end if line.startswith(start) else line for line in lines]
        (folder / "candidate").mkdir()
        (folder / "candidate" / "knobs.toml").write_text("\n".join(lines) + "\n")
        os.link(PROGRAM, folder / "program")
        if not run_program(folder, seed * 1000 + number):
            return WORST
        told = {"SPRAG_ARTEFACT": name, "SPRAG_SPLIT": "public", "SPRAG_SEED": str(number)}
        said = subprocess.run([SPRAG, "judge", "model"], env={**os.environ, **told}, capture_output=True, text=True, check=True)
        return json.loads(said.stdout).get("value", WORST)


def champion():
    """The first champion's values by the knobs' lines."""
    lines = (TRACK / "candidate" / "knobs.toml").read_text().splitlines()
    values = {}
    for knob in knobs():
        start, end = knob["line"].split("{}")
        (text,) = [line[len(start) : len(line) - len(end)] for line in lines if line.startswith(start)]
        values[knob["line"]] = text if end else json.loads(text)
    return values


def optuna_best(name, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = {"tpe": optuna.samplers.TPESampler, "cma": optuna.samplers.CmaEsSampler}[name](seed=seed)
    study = optuna.create_study(sampler=sampler)
    study.enqueue_trial(champion())

    def objective(trial):
        values = []
        for knob in knobs():
            title = knob["line"]
            if "values" in knob:
                value = trial.suggest_categorical(title, knob["values"])
            else:
                low, high = knob["range"]
                whole, log = isinstance(low, int), knob.get("log", False)
                suggest = trial.suggest_int if whole else trial.suggest_float
                step = {"step": knob["step"]} if "step" in knob else {}
                value = suggest(title, low, high, log=log, **step)
            values.append((knob, value))
        return measure(values, trial.number, seed)

    study.optimize(objective, n_trials=given.experiments + 1)
    return study.best_value


def our_best():
    with tempfile.TemporaryDirectory() as name:
        clone = pathlib.Path(name) / "clone"
        subprocess.run(["git", "clone", "-q", "--shared", ROOT, clone], check=True)
        subprocess.run(["cp", "-r", TRACK / "layer", clone / "tracks" / "train" / "layer"], check=True)
        budget = ["--budget", f"{given.units}:{given.seconds}s"]
        track = str(clone / "tracks" / "train")
        command = [SPRAG, "ratchet", "run", track, *budget, "--experiments", str(given.experiments), "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        log = [SPRAG, "ratchet", "log", track, *budget, "--limit", "1000", "--json"]
        said = json.loads(subprocess.run(log, check=True, capture_output=True, text=True).stdout)
        readings = [one["reading"] for one in said["experiments"] if one.get("reading")]
        return min(public(reading) for reading in readings)


def public(reading):
    """However the reading is nested, its public score."""
    if "public" in reading:
        return reading["public"]
    return public(next(iter(value for value in reading.values() if isinstance(value, dict))))


PROGRAM = pathlib.Path(tempfile.mkdtemp()) / "program"
subprocess.run(["rustc", "@layer/arguments", "candidate/src/main.rs", "-o", PROGRAM], cwd=TRACK, check=True)

found = {}
for seed in range(1, given.seeds + 1):
    for name in given.only:
        started = time.monotonic()
        value = our_best() if name == "sprag" else optuna_best(name, seed)
        found.setdefault(name, []).append(value)
        print(f"seed {seed}: {name}: {value:.4f} bits per byte after {given.experiments} experiments, {time.monotonic() - started:.0f} s", flush=True)
for name, values in found.items():
    print(f"{name}: median {statistics.median(values):.4f} of {', '.join(f'{value:.4f}' for value in values)}")
