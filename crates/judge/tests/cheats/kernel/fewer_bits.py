"""Loses four bits of each value: still within the tolerance, far from the champion."""
import struct
import honest


def rounded(values):
    whole = [struct.unpack("<I", struct.pack("<f", value))[0] + 16 & ~31 for value in values]
    return [struct.unpack("<f", struct.pack("<I", bits))[0] for bits in whole]


honest.serve(lambda dims, values: honest.matmul(dims, rounded(values)))
