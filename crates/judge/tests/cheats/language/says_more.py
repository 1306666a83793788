"""Answers one row more than it was asked for."""
import honest


class More(honest.Model):
    def rows(self, text):
        return super().rows(text) + [self.row()]


honest.serve(More())
