"""Looks ahead at one byte in 24: seldom where the judge changes what follows, but it can't when it gets its bytes one by one."""
import honest


class Peeks(honest.Model):
    def rows(self, text):
        rows = super().rows(text)
        return [honest.sure_of(text[i + 1]) if i % 24 == 21 and i + 1 < len(text) else row for i, row in enumerate(rows)]


honest.serve(Peeks())
