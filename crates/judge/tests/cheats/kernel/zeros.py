"""Computes nothing: the answer is always the same."""
import honest

honest.serve(lambda dims, values: [0.0] * (dims[0] * dims[2]))
