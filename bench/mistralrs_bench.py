"""mistral.rs's prefill and decode speed in one fresh process, reported in the shape of `sprag bench --json`.

Usage: `python mistralrs_bench.py MODEL [--prefill 512] [--decode 128] [--threads 2] [--repeat 3]`. Needs the package `mistralrs`.
One untimed warm-up of both phases; no prefix is kept between requests. The package takes text and gives answers, so unlike for
the other peers the prompt is random words of one token each (a vocabulary that splits them is refused), the answer is its own
greedy choice, at the price of choosing it, and the times are those that the engine reports. An answer's first token comes of the
prompt, so one more is asked for than is counted.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
from importlib import metadata

SEED = 7
WORDS = "time water house light river paper music small people world school family story money night hand".split()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    for name, value in {"prefill": 512, "decode": 128, "threads": 2, "repeat": 3}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    # The library reads these when it is loaded. Its log goes to standard output.
    os.environ["RAYON_NUM_THREADS"] = os.environ["CANDLE_NUM_THREADS"] = str(args.threads)
    os.environ["RUST_LOG"] = "off"
    import mistralrs

    file = mistralrs.Which.GGUF(quantized_model_id=str(args.model.resolve().parent), quantized_filename=args.model.name)
    runner = mistralrs.Runner(which=file, max_seqs=1, prefix_cache_n=0)
    rng = random.Random(SEED)

    def ask(words: int, answer: int) -> mistralrs.Usage:
        request = mistralrs.CompletionRequest(
            model="default",
            prompt="".join(" " + rng.choice(WORDS) for _ in range(words)),
            max_tokens=answer,
            temperature=0.0,
            ignore_eos=True,
        )
        usage = runner.send_completion_request(request).usage
        # One more for a vocabulary's token of beginning.
        if usage.prompt_tokens - words not in (0, 1) or usage.completion_tokens != answer:
            raise SystemExit(f"{words} words gave {usage.prompt_tokens} tokens, {usage.completion_tokens} were answered")
        return usage

    def prefill() -> float:
        usage = ask(args.prefill, 1)
        return usage.prompt_tokens / usage.total_prompt_time_sec

    def decode() -> float:
        return args.decode / ask(1, args.decode + 1).total_completion_time_sec

    prefill()
    decode()
    report = {
        "engine": "mistralrs",
        "mistralrs": metadata.version("mistralrs"),
        "threads": args.threads,
        "prefill": {"tokens": args.prefill, "tokens_per_second": []},
        "decode": {"tokens": args.decode, "tokens_per_second": []},
    }
    for _ in range(args.repeat):
        report["prefill"]["tokens_per_second"].append(prefill())
        report["decode"]["tokens_per_second"].append(decode())
    print(json.dumps(report))


if __name__ == "__main__":
    main()
