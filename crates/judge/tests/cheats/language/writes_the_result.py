"""Writes the judge's result itself, wherever it could be, and then plays honest."""
import os
import honest

for name in ("SPRAG_RESULT", "SPRAG_SEED", "SPRAG_ARTEFACT"):
    if name in os.environ:
        raise SystemExit(f"{name} is here: {os.environ[name]}")
for place in ("result.json", "../result.json", "../sealed/result.json", "/tmp/result.json"):
    try:
        open(place, "w").write('{"value": 0.01}')
    except OSError:
        pass
honest.serve(honest.Model())
