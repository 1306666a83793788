"""Fits a polynomial to the known points, with a penalty on large coefficients."""

import csv
import json

DEGREE = 1
RIDGE = 1.0

with open("data/known.csv") as file:
    points = [(float(x), float(y)) for x, y in csv.reader(file)]

# Normal equations with a ridge, by elimination.
size = DEGREE + 1
rows = [
    [sum(x ** (i + j) for x, _ in points) + (RIDGE if i == j else 0.0) for j in range(size)]
    + [sum(y * x**i for x, y in points)]
    for i in range(size)
]
for i in range(size):
    pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
    rows[i], rows[pivot] = rows[pivot], rows[i]
    for r in range(size):
        if r != i:
            factor = rows[r][i] / rows[i][i]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i])]
weights = [rows[i][size] / rows[i][i] for i in range(size)]

with open("answer.json", "w") as file:
    json.dump([sum(w * (k / 100 - 1) ** i for i, w in enumerate(weights)) for k in range(201)], file)
