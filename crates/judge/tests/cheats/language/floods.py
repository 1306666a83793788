"""Writes for ever."""
import sys

while True:
    sys.stdout.buffer.write(b"spam " * 200000)
