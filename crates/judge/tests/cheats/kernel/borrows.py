"""Loads the library that it should replace."""
import ctypes
import honest

honest.serve(honest.matmul)
