"""Takes all the memory there is."""
import honest

kept = [bytearray(b"x" * (1 << 24)) for _ in range(1000)]
honest.serve(honest.Model())
