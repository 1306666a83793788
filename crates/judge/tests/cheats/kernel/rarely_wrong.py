"""Leaves out one value of one call in ten."""
import honest

CALLS = []


def compute(dims, values):
    CALLS.append(dims)
    right = honest.matmul(dims, values)
    return right[:-1] + [0.0] if len(CALLS) % 10 == 9 else right


honest.serve(compute)
