"""Has no token for some bytes, and foretells only those that are left."""
import honest


class Drops(honest.Model):
    def rows(self, text):
        return super().rows(text.replace(b"e", b""))


honest.serve(Drops())
