"""A plain matrix product. The others change one thing of it."""
import array
import struct
import sys


def matmul(dims, values):
    tokens, inputs, outputs = dims
    x, w = values[: tokens * inputs], values[tokens * inputs :]
    rows = [w[n * inputs : (n + 1) * inputs] for n in range(outputs)]
    return [sum(a * b for a, b in zip(x[t * inputs : (t + 1) * inputs], row)) for t in range(tokens) for row in rows]


def header():
    head = sys.stdin.buffer.read(8)
    if not head:
        sys.exit()
    operation, count = struct.unpack("<2I", head)
    return operation, struct.unpack(f"<{count}I", sys.stdin.buffer.read(4 * count))


def inputs(count):
    return array.array("f", sys.stdin.buffer.read(4 * count)).tolist()


def answer(values):
    sys.stdout.buffer.write(array.array("f", values).tobytes())
    sys.stdout.buffer.flush()


def serve(compute):
    while True:
        _, dims = header()
        tokens, width, outputs = dims
        answer(compute(dims, inputs(tokens * width + width * outputs)))


if __name__ == "__main__":
    serve(matmul)
