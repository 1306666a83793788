"""Looks ahead at one byte in eight."""
import honest


class Peeks(honest.Model):
    def rows(self, text):
        rows = super().rows(text)
        return [honest.sure_of(text[i + 1]) if i % 8 == 5 and i + 1 < len(text) else row for i, row in enumerate(rows)]


honest.serve(Peeks())
