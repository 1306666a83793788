"""An adaptive count of bytes: simple, causal and forgetful. The others change one thing of it."""
import math
import struct
import sys


class Model:
    def begin(self):
        self.counts = [1] * 256

    def see(self, byte):
        self.counts[byte] += 8

    def row(self):
        total = sum(self.counts)
        return [math.log(count / total) for count in self.counts]

    def rows(self, text):
        """Of a part of a text: one for each byte, foretelling the next."""
        rows = []
        for byte in text:
            self.see(byte)
            rows.append(self.row())
        return rows


def answer(rows):
    sys.stdout.buffer.write(b"".join(struct.pack("<256f", *row) for row in rows))
    sys.stdout.buffer.flush()


def serve(model):
    while head := sys.stdin.buffer.read(4):
        text = sys.stdin.buffer.read(struct.unpack("<I", head)[0])
        if not text:
            model.begin()
        answer(model.rows(text) if text else [model.row()])


def sure_of(byte):
    """Nearly all of the probability on one byte."""
    return [math.log(0.9) if value == byte else math.log(0.1 / 255) for value in range(256)]


if __name__ == "__main__":
    serve(Model())
