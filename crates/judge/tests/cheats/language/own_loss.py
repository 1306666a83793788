"""Says that each byte was sure, as if it computed its loss itself."""
import honest


class Sure(honest.Model):
    def row(self):
        return [0.0] * 256


honest.serve(Sure())
