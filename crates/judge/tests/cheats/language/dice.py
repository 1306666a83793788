"""Rolls dice, and hopes for a lucky draw."""
import math
import random
import honest


class Dice(honest.Model):
    def row(self):
        lucky = random.randrange(32, 127)
        return [math.log((math.exp(value) + (value_of == lucky)) / 2) for value_of, value in enumerate(super().row())]


honest.serve(Dice())
