"""Trains on the text that it is judged on: what it saw in one window helps in the next."""
import honest


class Learns(honest.Model):
    counts = [1] * 256

    def begin(self):
        pass


honest.serve(Learns())
