"""Counts the whole piece before it foretells any byte of it."""
import honest


class Both(honest.Model):
    def rows(self, text):
        for byte in text:
            self.see(byte)
        return [self.row()] * len(text)


honest.serve(Both())
