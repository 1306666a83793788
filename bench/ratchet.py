"""What the ratchet makes of candidates whose truth is known, on this machine, with real measurements.

    cargo build --release
    python3 bench/ratchet.py target/release/sprag aa --candidates 60 --races 20
    cargo build --release --features planted-delay --target-dir target/planted
    python3 bench/ratchet.py target/planted/release/sprag planted --gain 0.10 --runs 5
    python3 bench/ratchet.py target/planted/release/sprag planted --gain 0.03 --runs 5

`aa`, by an ordinary build: a proposer that sets the profile's inert `note`; every candidate is measured, and forced into a race until so many were raced. Any
merge is a false one. `planted`: a build in which `note` microseconds are spent in every decoded token of the judge's measurement; the
champion has a delay, one candidate has none, and its decode takes less time by the given share.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile

parser = argparse.ArgumentParser()
parser.add_argument("sprag")
parser.add_argument("what", choices=["aa", "planted"])
parser.add_argument("--candidates", type=int, default=60)
parser.add_argument("--races", type=int, default=20)
parser.add_argument("--gain", type=float, default=0.10)
parser.add_argument("--runs", type=int, default=5)
given = parser.parse_args()
sprag = os.path.abspath(given.sprag)


def run(home, *words):
    env = {**os.environ, "SPRAG_HOME": str(home)}
    done = subprocess.run([sprag, "ratchet", *words], env=env, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"sprag ratchet {' '.join(words)}: {done.stderr}")
    return done.stdout


def track(home, proposers, gate, note):
    """A `stack` track in a home of its own, with other proposers, and `note` in its first champion."""
    models = pathlib.Path(os.environ.get("SPRAG_HOME", pathlib.Path.home() / ".local/share/sprag")) / "models"
    os.symlink(models, home / "models")
    run(home, "run", "stack", "--experiments", "0", "--seal", "unsealed")
    folder = next((home / "tracks").glob("stack-*"))
    text = (folder / "track.toml").read_text()
    text = text[: text.index("[[proposer]]")] + f"[gate]\n{gate}\n\n{proposers}"
    # The track that was begun to make the folder is begun again, with these rules.
    shutil.rmtree(folder / ".git" / "sprag")
    (folder / "track.toml").write_text(text)
    profile = (folder / "profile.toml").read_text().replace("note = 0", f"note = {note}")
    (folder / "profile.toml").write_text(profile)
    git = ["git", "-C", str(folder), "-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    subprocess.run([*git, "commit", "-qam", "bench"], check=True)
    return folder


def status(home):
    return json.loads(run(home, "status", "stack", "--json"))


def aa():
    """Candidates that do nothing: first so many forced into races, the others screened as usual."""
    note = '[[proposer]]\nkind = "search"\nmethod = "random"\n[[proposer.knob]]\nfile = "profile.toml"\nline = "note = {}"\nrange = [1, 1000000]\n'
    with tempfile.TemporaryDirectory() as name:
        home = pathlib.Path(name)
        folder = track(home, note, "screen_sigma = -1000.0", 0)
        run(home, "run", "stack", "--experiments", str(given.races), "--seal", "unsealed")
        forced = status(home)
        text = (folder / "track.toml").read_text().replace("screen_sigma = -1000.0", "")
        (folder / "track.toml").write_text(text)
        run(home, "reseal", "stack", "--why", "screens as usual")
        run(home, "run", "stack", "--experiments", str(given.candidates - given.races), "--seal", "unsealed")
        after = status(home)
        rows = json.loads(run(home, "query", "select count(distinct experiment) from measurements where what = 'screen'", "stack", "--json"))
        print(f"{rows['rows'][0][0]} candidates measured, {forced['races']} forced races, {after['races']} races, {after['spent']['merges']} merges; noise {after['noise']['screen']['sigma']:.4f} a block")
        run(home, "verify", "stack")


def planted():
    """One candidate that is truly better, among nothing else."""
    free = '[[proposer]]\nkind = "search"\nmethod = "random"\n[[proposer.knob]]\nfile = "profile.toml"\nline = "note = {}"\nvalues = [0]\n'
    found = 0
    for number in range(given.runs):
        with tempfile.TemporaryDirectory() as name:
            home = pathlib.Path(name)
            # The champion decodes 1 / (1 - g) times as long as the candidate. The figure is sqrt(prefill x decode), in which that is about g / 2.
            note = round(one_turn(home) / 8 * (1 / (1 - given.gain) - 1) * 1e6)
            folder = track(home, free, "screen_sigma = -1000.0", note)
            run(home, "run", "stack", "--experiments", "1", "--seal", "unsealed")
            log = json.loads(run(home, "log", "stack", "--json"))["experiments"][0]
            found += log["standing"] == "merged"
            print(f"run {number + 1}: note {note}: {log['standing']}: {log['words'][-1]}", flush=True)
    print(f"{given.gain:.0%} of the decode time planted: found in {found} of {given.runs} runs")


def one_turn(home):
    """Seconds of a turn of 8 decoded tokens without a delay: the median of 60."""
    models = pathlib.Path(os.environ.get("SPRAG_HOME", pathlib.Path.home() / ".local/share/sprag")) / "models"
    model = next(models.glob("SmolLM2*.gguf"))
    profile = home / "none.toml"
    profile.write_text("")
    words = [sprag, "judge", "stack-run", "--model", str(model), "--profile", str(profile)]
    turns = '"prefill"\n"decode"\n' * 60
    said = subprocess.run(words, input=turns, capture_output=True, text=True, check=True).stdout.splitlines()
    return statistics.median(map(float, said[1::2]))


aa() if given.what == "aa" else planted()
