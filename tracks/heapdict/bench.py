"""Sealed: what the queue is asked to do, and whether what it answered is right.

`play` draws the operations from SPRAG_SEED, does them with the candidate's `heapdict`, and leaves every answer in `answers.txt`; the engine
times it. `judge` is told that seed once the run is over, draws the same operations anew, does them with a plain queue of its own, and
compares each answer. Nobody can bring answers along to a seed that is drawn for each block.
"""

import heapq
import json
import os
import random
import sys

OPERATIONS = 20_000


def script(seed):
    """The operations: names with what they need. Priorities are drawn, so no two are the same."""
    draw = random.Random(seed)
    names = list(range(OPERATIONS))
    draw.shuffle(names)
    known, steps = [], []
    for name in names:
        chance = draw.random()
        if chance < 0.5 or not known:
            known.append(name)
            steps.append(("put", name, draw.random()))
        elif chance < 0.75:
            steps.append(("put", draw.choice(known), draw.random()))
        elif chance < 0.8:
            steps.append(("drop", draw.choice(known), None))
        elif chance < 0.85:
            steps.append(("look", draw.choice(known), None))
        elif chance < 0.9:
            steps.append(("peek", None, None))
        else:
            steps.append(("take", None, None))
    return steps


def play(queue, steps):
    """Does the steps, takes out what is left, and gives every answer as a line."""
    answers = []
    for what, name, priority in steps:
        if what == "put":
            queue[name] = priority
        elif what == "drop":
            if name in queue:
                del queue[name]
        elif what == "look":
            answers.append(f"{name} {queue[name] if name in queue else None}")
        elif len(queue) == 0:
            answers.append("empty")
        else:
            taken = queue.peekitem() if what == "peek" else queue.popitem()
            answers.append(f"{taken[0]} {taken[1]} of {len(queue)}")
    while len(queue):
        answers.append(f"{queue.popitem()[0]}")
    return answers


class Plain:
    """The judge's own queue: entries that no longer hold stay where they are, and are passed over."""

    def __init__(self):
        self.entries, self.now = [], {}

    def __len__(self):
        return len(self.now)

    def __contains__(self, name):
        return name in self.now

    def __getitem__(self, name):
        return self.now[name]

    def __setitem__(self, name, priority):
        self.now[name] = priority
        heapq.heappush(self.entries, (priority, name))

    def __delitem__(self, name):
        del self.now[name]

    def peekitem(self):
        while self.now.get(self.entries[0][1]) != self.entries[0][0]:
            heapq.heappop(self.entries)
        priority, name = self.entries[0]
        return name, priority

    def popitem(self):
        name, priority = self.peekitem()
        del self.now[name]
        return name, priority


def compared(path):
    """None where every answer is right, else what is wrong."""
    with open(path) as file:
        came = file.read().splitlines()
    right = play(Plain(), script(int(os.environ["SPRAG_RUN_SEED"])))
    for place, (a, b) in enumerate(zip(came, right)):
        if a != b:
            return f"answer {place} of {len(right)} is {a[:60]!r}, and {b!r} is right"
    if len(came) != len(right):
        return f"expected {len(right)} answers, came {len(came)}"
    return None


if sys.argv[1:] == ["play"]:
    from heapdict import heapdict

    answers = play(heapdict(), script(int(os.environ["SPRAG_SEED"])))
    with open("answers.txt", "w") as file:
        file.write("\n".join(answers))
elif sys.argv[1:] == ["judge"]:
    wrong = compared(os.path.join(os.environ["SPRAG_ARTEFACT"], "answers.txt"))
    with open(os.environ["SPRAG_RESULT"], "w") as file:
        json.dump({"refused": wrong} if wrong else {}, file)
else:
    sys.exit("expected `play` or `judge`")
