"""Answers with what it computed for the question before."""
import honest

LAST = {}


def previous(dims, values):
    before, LAST[dims] = LAST.get(dims), honest.matmul(dims, values)
    return before or LAST[dims]


honest.serve(previous)
