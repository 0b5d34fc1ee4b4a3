"""Does any damaged export bring ircohort down? Cases of the corpus of the tests, mutated, by the hundred thousand.

Made by ``python benchmarks/input_fuzz.py > benchmarks/input_fuzz.md``; failures go to standard error.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from multiprocessing import get_context
from operator import add
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
os.environ.setdefault("POLARS_MAX_THREADS", "1")  # the files are small, and each worker has a core
sys.path.insert(0, str(TESTS))

from fuzz_mutations import corpus  # noqa: E402
from fuzzing import Tally, fuzz  # noqa: E402
from ircohort.analysis import versions  # noqa: E402

CHUNK = 500
SHARED = 40
MEANING = {
    0: "a result whose ledger adds up",
    2: "a command or an input that cannot be meant",
    3: "columns, units or configuration refused",
    5: "more rejected than `--fail-on` allows",
    6: "a file that cannot be read",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=10_000, help="the first seed; the tests take those from 0")
    parser.add_argument("--workers", type=int, default=2)
    said = parser.parse_args()
    started = time.perf_counter()
    tally = run(said.seed, said.cases, said.workers)
    print(page(said, tally, time.perf_counter() - started))
    print("\n\n".join(tally.failures.values()), file=sys.stderr)
    sys.exit(bool(tally.failures))


def run(first: int, cases: int, workers: int) -> Tally:
    """Run the cases in chunks, a number of which share their workers; a worker that dies is an exception."""
    last = first + cases
    chunks = [range(start, min(start + CHUNK, last)) for start in range(first, last, CHUNK)]
    tally = Tally()
    for start in range(0, len(chunks), SHARED):
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            tally = reduce(add, pool.map(fuzz, chunks[start : start + SHARED]), tally)
    return tally


def page(said: argparse.Namespace, tally: Tally, seconds: float) -> str:
    """Lay out what became of the cases."""
    found = versions()
    made_by = ", ".join(f"{name} {found[name]}" for name in ("python", "ircohort", "polars"))
    command = f"python benchmarks/input_fuzz.py --cases {said.cases} --seed {said.seed} --workers {said.workers}"
    count = sum(tally.codes.values())
    rows = [
        f"| {'none' if code is None else code} | {MEANING.get(code, 'a fault')} | {n:,} | {n / count:.1%} |"
        for code, n in sorted(tally.codes.items(), key=lambda item: -1 if item[0] is None else item[0])
    ]
    return "\n".join(
        [
            "# Mutated exports\n",
            f"`{command}`; {made_by}; {os.cpu_count()} cores.\n",
            f"{count:,} mutations of the {len(corpus())} cases in `tests/corpus`, each read by `ircohort markers`, "
            "`check` or `init` in one process: bytes, containers, encodings, lines, cells, options, configuration. "
            "A case fails if it ends in another code than these, in an exception, with a ledger that does not add up, "
            "or with a participant's value in a message.\n",
            "| exit code | meaning | cases | share |",
            "| --- | --- | --- | --- |",
            *rows,
            f"\n{len(tally.failures)} failures. {seconds:.0f} s; {1000 * tally.seconds / count:.1f} ms a case, "
            f"the slowest {tally.slowest[0]:.1f} s (seed {tally.slowest[1]}).",
        ]
    )


if __name__ == "__main__":
    main()
