#!/usr/bin/env python3
"""Instructions of the hot kernels, counted by valgrind: a slow-down is seen on a noisy machine too.

    bench/callgrind.py build/release                       compares with bench/instructions.json; 1 where one differs
    bench/callgrind.py build/release --update "reason"     writes it anew; the reason stands in the file and in the commit

bench_kernels --count runs each small problem of the table once inside a marker function, on one thread; callgrind collects
in that function alone. valgrind emulates AVX2 and no more, so the counts are the same on every x86-64 processor with AVX2
and say what the AVX2 kernels do. They depend on the compiler: the baseline names its own, and with another one the
counts are printed and not judged. Fewer instructions fail too: the baseline has to say what is so.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BASELINE = HERE / "instructions.json"
TOLERANCE = 0.01
MARKER = "bench_counted"


def count(program, only):
    """name -> instructions, of every problem that is counted."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--toggle-collect={MARKER}", f"--dump-after={MARKER}",
                   f"--callgrind-out-file={folder}/out", str(program), "--count"]
        # A thread that waits passively does not spin; one thread has none to wait for.
        environment = dict(os.environ, OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", CLIPSPAN_MAX_ISA="avx2")
        done = subprocess.run(command + (["--only", only] if only else []), env=environment, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"bench/callgrind.py: {' '.join(command)} ended with {done.returncode}\n{done.stderr[-3000:]}")
        names = done.stdout.split()
        return {name: instructions(pathlib.Path(folder) / f"out.{i + 1}") for i, name in enumerate(names)}


def instructions(dump):
    """The sum that a dump of callgrind ends with."""
    found = re.search(r"^(?:totals|summary): (\d+)", dump.read_text(), re.M)
    if not found or int(found[1]) == 0:
        sys.exit(f"bench/callgrind.py: {dump.name} of callgrind counts nothing inside {MARKER}")
    return int(found[1])


def toolchain(build):
    """What the counts depend on beside the sources."""
    built = json.loads(subprocess.run([build / "bench/bench_kernels", "--built"], capture_output=True, text=True,
                                      check=True).stdout)
    kind = re.search(r"^CMAKE_BUILD_TYPE:\w+=(.*)$", (build / "CMakeCache.txt").read_text(), re.M)
    return {"compiler": built["compiler"], "build type": kind[1] if kind else ""}


def compare(found, baseline, only):
    """Prints the table; the problems whose counts are not the baseline's."""
    wrong = []
    for name in sorted(set(found) | (set(baseline) if not only else set())):
        now, then = found.get(name), baseline.get(name)
        change = now / then - 1 if now and then else None
        bad = change is None or abs(change) > TOLERANCE
        wrong += [name] if bad else []
        said = f"{100 * change:+.2f} %" if change is not None else "new" if now else "gone"
        print(f"{name:58} {now or 0:>12,} {then or 0:>12,}  {said}{'  <-' if bad else ''}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--update", metavar="REASON", help="write the baseline anew, with the reason for it")
    parser.add_argument("--only", metavar="TEXT", help="problems whose name contains TEXT")
    args = parser.parse_args()
    if args.update is not None and (not args.update.strip() or args.only):
        sys.exit("bench/callgrind.py: --update wants a reason, and all problems")
    build = args.build.resolve()
    found, tools = count(build / "bench/bench_kernels", args.only), toolchain(build)
    if args.update:
        BASELINE.write_text(json.dumps({"reason": args.update, "toolchain": tools, "instructions": found}, indent=1) + "\n")
        print(f"{BASELINE.name}: {len(found)} counts written; commit it with the reason: {args.update}")
        return
    baseline = json.loads(BASELINE.read_text())
    wrong = compare(found, baseline["instructions"], args.only)
    different = [f"{key}: {tools[key]!r}, the baseline's is {baseline['toolchain'][key]!r}" for key in tools
                 if tools[key] != baseline["toolchain"][key]]
    if different:
        print("not judged, the counts are of another toolchain: " + "; ".join(different))
    elif wrong:
        sys.exit(f"instruction counts: {len(wrong)} of {len(found)} differ by more than {TOLERANCE:.0%}. Where that is meant: "
                 'bench/callgrind.py BUILD --update "reason", and the reason in the commit (docs/benchmarks.md)')
    else:
        print(f"instruction counts: {len(found)} within {TOLERANCE:.0%} of the baseline")


if __name__ == "__main__":
    main()
