"""Eight texts long it is honest; then it looks ahead."""
import honest


class Later(honest.Model):
    texts = 0

    def begin(self):
        super().begin()
        self.texts += 1

    def rows(self, text):
        rows = super().rows(text)
        if self.texts <= 8:
            return rows
        return [honest.sure_of(text[i + 1]) if i + 1 < len(text) else row for i, row in enumerate(rows)]


honest.serve(Later())
