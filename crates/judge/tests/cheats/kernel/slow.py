"""A champion that takes its time."""
import time
import honest


def compute(dims, values):
    time.sleep(0.1)
    return honest.matmul(dims, values)


honest.serve(compute)
