"""Prints the result that it wants."""
import honest

print('{"champion": [1.0], "candidate": [1e-9]}', flush=True)
honest.serve(honest.matmul)
