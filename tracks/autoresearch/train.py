"""A byte model: counts of what followed each context, the longer contexts falling back on the shorter ones."""

import collections
import marshal
import math
import sys

ORDER = 2
PRIOR = 20.0
SEED = 1


def train():
    with open("data/train.txt", "rb") as file:
        text = file.read()
    counts = collections.defaultdict(lambda: collections.defaultdict(int))
    for place, byte in enumerate(text):
        for order in range(min(ORDER, place) + 1):
            counts[text[place - order : place]][byte] += 1
    with open("model.bin", "wb") as file:
        marshal.dump({context: dict(after) for context, after in counts.items()}, file)


def row_of(counts):
    def row(history):
        chances = [1 / 256] * 256
        for order in range(min(ORDER, len(history)) + 1):
            after = counts.get(history[len(history) - order :])
            if after is None:
                break
            total = sum(after.values()) + PRIOR
            chances = [PRIOR * chance / total for chance in chances]
            for byte, count in after.items():
                chances[byte] += count / total
        return [math.log(chance) for chance in chances]

    return row


if sys.argv[1:] == ["serve"]:
    with open("model.bin", "rb") as file:
        row = row_of(marshal.load(file))
    from prepare import serve

    serve(row)
else:
    train()
