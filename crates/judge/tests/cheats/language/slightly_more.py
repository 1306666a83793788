"""Gives every byte a little more than there is, within what rounding may do: it must gain nothing."""
import honest


class More(honest.Model):
    def row(self):
        return [value + 9e-4 for value in super().row()]


honest.serve(More())
