"""Gives every byte more than there is."""
import honest


class More(honest.Model):
    def row(self):
        return [value + 0.5 for value in super().row()]


honest.serve(More())
