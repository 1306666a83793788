"""The judge: how far are the predictions from points that the candidate has never seen?

It reads what the candidate left (SPRAG_ARTEFACT), the split that is asked for (SPRAG_SPLIT: public or hidden) and a seed that nobody
could foresee (SPRAG_SEED), and writes its result as JSON to the file that SPRAG_RESULT names.
"""

import csv
import json
import os
import random

with open(os.path.join(os.environ["SPRAG_ARTEFACT"], "answer.json")) as file:
    answer = json.load(file)

with open("hidden/cases.csv") as file:
    cases = [(float(x), float(y), split) for x, y, split in csv.reader(file)]
cases = [(x, y) for x, y, split in cases if split == os.environ["SPRAG_SPLIT"]]

# A fresh draw of the cases for every measurement: a lucky candidate cannot be lucky twice.
random.seed(int(os.environ["SPRAG_SEED"]))
drawn = random.choices(cases, k=len(cases))


def predicted(x):
    """Between the two nearest of the answer's 201 points from -1 to 1."""
    place = min(max((x + 1) * 100, 0), 199.999)
    left = int(place)
    return answer[left] + (place - left) * (answer[left + 1] - answer[left])


if len(answer) != 201:
    result = {"refused": f"expected 201 predictions, came {len(answer)}"}
else:
    result = {"value": sum((predicted(x) - y) ** 2 for x, y in drawn) / len(drawn)}
with open(os.environ["SPRAG_RESULT"], "w") as file:
    json.dump(result, file)
