"""Fills the machine with processes, so that the judge has none left."""
import os
import time
import honest

for _ in range(100):
    try:
        if os.fork() == 0:
            time.sleep(60)
    except OSError:
        time.sleep(60)
honest.serve(honest.Model())
