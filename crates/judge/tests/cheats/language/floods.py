"""Writes for ever."""
import sys

while True:
    sys.stdout.buffer.write(bytes(1 << 20))
