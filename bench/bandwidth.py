"""Our measured ceilings beside likwid-bench's, in turns, and peaks beside what the pipes can do.

    apt-get install likwid
    cargo build --release -p silicon --example roofline
    python bench/bandwidth.py --rounds 7

One round takes each figure from both programs, ours first in every second round, so that both see the same machine. The ratio is that
of the medians over the rounds; the spread is that of the rounds' own ratios. likwid-bench gives the mean of its second, so ours is
the mean of as long a time too (all bytes by all seconds), not the median that a report shows.

On a machine that others use, `nice -n -20` (as root) in front keeps most of them out. Not `chrt -f`: likwid-bench's threads wait for
each other in a loop, and where both start on one processor the first never lets the second begin.

What must be equal for the numbers to mean the same: the width of the vectors (the kernel's name), the bytes in all, threads, and
small pages: `--pages huge` asks glibc to give likwid-bench huge ones too, which was not seen to change its figures, while ours gain a
quarter. What is not: we read four streams a thread and likwid-bench one; it pins its threads, and ours go where the system puts them,
like any program's. Measure all processors or one: with half of them, on a virtual machine that hides which are halves of one core, ours was
seen at 57 or at 89 GB/s, by where a run's threads landed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

GIB = 1 << 30


def flags():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.split(":", 1)[1].split())
    return set()


def cases(threads):
    """(name, our figure, likwid test, bytes in all, threads)"""
    wide = "_avx512" if "avx512f" in flags() else "_avx"
    caches = [(16 << 10, "16 KiB"), (256 << 10, "256 KiB")]
    of_memory = [
        ("read, memory", "read", f"load{wide}"),
        ("triad, memory", "triad", f"stream{wide}_fma"),
        ("triad, memory, streaming stores", "triad-streaming", f"stream_mem{wide}_fma" if wide == "_avx" else f"stream_mem{wide}"),
    ]
    counts = [threads] if threads == 1 else [threads, 1]
    for name, ours, test in of_memory:
        for count in counts:
            yield f"{name}, {count} thread{'s' * (count > 1)}", f"{ours}:dram:{count}", test, GIB, count
    for size, text in caches:
        for name, ours, test in (("read", "read", f"load{wide}"), ("triad", "triad", f"stream{wide}_fma")):
            yield f"{name}, {text}, 1 thread", f"{ours}:{size}:1", test, size, 1


class Ours:
    """One process for a round: it touches its memory once and then answers figure after figure."""

    def __init__(self, program, pages, threads):
        depth = "full" if pages == "huge" else "quick"
        self.process = subprocess.Popen(
            [program, "--serve", "--depth", depth, "--threads", str(threads)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def gb_s(self, figure, seconds):
        """Mean over about that time: the harmonic mean of samples of equal work."""
        samples, end = [], time.monotonic() + seconds
        while not samples or time.monotonic() < end:
            self.process.stdin.write(figure + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
            if not line:
                sys.exit(f"our program stopped at {figure}")
            rate = json.loads(line)["gb_s"]
            if rate is None:
                return None
            samples += rate["samples"]
        return statistics.harmonic_mean(samples)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def likwid_gb_s(program, test, size, threads, pages, seconds):
    # glibc then asks for huge pages for what it maps.
    environment = dict(os.environ)
    if pages == "huge":
        environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
    command = [program, "-t", test, "-w", f"N:{size / 1000}kB:{threads}", "-s", str(max(1, round(seconds)))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("MByte/s:"):
            return float(line.split()[1]) / 1000
    sys.exit(f"{' '.join(command)} gave no rate: {done.stdout[-500:]} {done.stderr[-500:]}")


def compare(options):
    table = {case: ([], []) for case in cases(options.threads)}
    for number in range(options.rounds):
        ours = Ours(options.program, options.pages, options.threads)
        for (name, figure, test, size, threads), (mine, theirs) in table.items():
            def likwid():
                theirs.append(likwid_gb_s(options.likwid, test, size, threads, options.pages, options.seconds))

            def own():
                mine.append(ours.gb_s(figure, options.seconds))

            for run in (own, likwid) if number % 2 else (likwid, own):
                run()
        ours.close()
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    print(f"{'GB/s, medians of ' + str(options.rounds) + ' rounds, ' + options.pages + ' pages':56} {'ours':>7} {'likwid':>7} {'ratio':>6}  rounds' ratios")
    for (name, _, test, *_), (mine, theirs) in table.items():
        if None in mine:
            print(f"{name}: not on this processor")
            continue
        ratios = sorted(a / b for a, b in zip(mine, theirs))
        ratio = statistics.median(mine) / statistics.median(theirs)
        print(
            f"{name + ' (' + test + ')':56} {statistics.median(mine):7.1f} {statistics.median(theirs):7.1f} {ratio:6.3f}"
            f"  {ratios[0]:.2f} to {ratios[-1]:.2f}, median {statistics.median(ratios):.3f}"
        )


def peaks(options):
    done = subprocess.run([options.program, "--peaks", "--threads", str(options.threads)], check=True, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    print(f"\npeaks at the clock measured in the same run, {answer['clock_ghz']:.3f} GHz; the best of the repetitions")
    bounds = {("f32", "vector"): "f32_gflop_s", ("int8", "vector"): "int8_vector_gop_s", ("int16", "vector"): "int16_vector_gop_s",
              ("int8", "matrix"): "int8_matrix_gop_s", ("bf16", "matrix"): "bf16_matrix_gflop_s"}
    for peak in answer["compute"]:
        key = bounds.get((peak["precision"], peak["unit"]))
        bound = answer["bound"][key] if key else {"state": "unknown", "reason": "no bound is derived for it"}
        best = max(peak["all_threads_gop_s"]["samples"])
        if bound["state"] == "presented":
            print(f"{peak['instruction']}: {best:.1f} of {bound['value']:.1f} ({best / bound['value']:.3f}) = {bound['source']}")
        else:
            print(f"{peak['instruction']}: {best:.1f}; no bound: {bound['reason']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure and program in a round")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--pages", choices=["huge", "small"], default="small")
    parser.add_argument("--program", default="target/release/examples/roofline")
    parser.add_argument("--likwid", default="likwid-bench")
    parser.add_argument("--only", choices=["bandwidth", "peaks"])
    options = parser.parse_args()
    if options.only != "peaks":
        compare(options)
    if options.only != "bandwidth":
        peaks(options)


if __name__ == "__main__":
    main()
