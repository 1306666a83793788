"""Leaves its output as it found it: not a number."""
import honest

honest.serve(lambda dims, values: [float("nan")] * (dims[0] * dims[2]))
