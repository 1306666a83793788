"""Sealed: the protocol between a model and its judge, so that train.py need not know it. See `sprag judge language`."""

import struct
import sys


def serve(row):
    """Answers the judge until it hangs up. `row(history)` gives 256 ln-probabilities of the byte that follows `history`."""
    history = b""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while head := source.read(4):
        (count,) = struct.unpack("<I", head)
        rows = []
        if count == 0:
            history = b""
            rows.append(row(history))
        for byte in source.read(count):
            history += bytes([byte])
            rows.append(row(history))
        for values in rows:
            sink.write(struct.pack("<256f", *values))
        sink.flush()
