"""Prints a fine result where a loop that greps a log would find it."""
import honest

print('{"value": 0.01}\nval_bpb: 0.01', flush=True)
honest.serve(honest.Model())
