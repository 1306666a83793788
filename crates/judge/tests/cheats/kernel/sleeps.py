"""Sleeps, as if a clock that counts processor time were asked."""
import time
import honest


def compute(dims, values):
    time.sleep(0.005)
    return honest.matmul(dims, values)


honest.serve(compute)
