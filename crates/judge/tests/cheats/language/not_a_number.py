"""Not a number passes every test that asks whether something is too large."""
import honest


class Nothing(honest.Model):
    def row(self):
        return [float("nan")] * 256


honest.serve(Nothing())
