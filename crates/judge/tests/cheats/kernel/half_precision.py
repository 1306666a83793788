"""Computes with 16-bit floats and says nothing of it."""
import struct
import honest


def rounded(values):
    return [struct.unpack("<e", struct.pack("<e", value))[0] for value in values]


honest.serve(lambda dims, values: honest.matmul(dims, rounded(values)))
