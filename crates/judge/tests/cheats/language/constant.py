"""Says the same whatever comes: allowed, and worth 8 bits."""
import math
import honest


class Constant(honest.Model):
    def row(self):
        return [-math.log(256)] * 256


honest.serve(Constant())
