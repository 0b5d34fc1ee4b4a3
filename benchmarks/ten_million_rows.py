"""How long ten million rows take to read, normalise and account for, beside what bare polars needs to copy them.

    python benchmarks/ten_million_rows.py            # writes benchmarks/ten_million_rows.md

The file has eight columns in the shape of a laboratory export (identifier, date, sex, age, glucose, insulin,
triglycerides, HDL cholesterol), rows in random order, and is made anew. Both jobs run in processes of their own, in
turn; ratios are taken run by run, for machines are noisy.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

BARE = """
import polars as pl, sys
pl.scan_csv(sys.argv[1]).sink_parquet(sys.argv[1] + ".parquet")
"""

IRCOHORT = """
import sys
import ircohort
cohort = ircohort.read(sys.argv[1])
assert cohort.visits.height > 0
assert all(counts["read"] == int(sys.argv[2]) for counts in cohort.ledger.rows.values())
"""

MEASURED = """
import resource, sys, time
started = time.perf_counter()
exec(compile(sys.stdin.read(), "job", "exec"))
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def export(path: Path, n_rows: int, seed: int) -> None:
    """Write an export of ``n_rows`` visits of a tenth as many people."""
    import numpy as np
    import polars as pl

    draw = np.random.default_rng(seed)
    people = n_rows // 10
    person = np.repeat(np.arange(people), 10)
    start = np.datetime64("2005-01-01") + draw.integers(0, 2000, people)
    visit_date = start[person] + np.tile(np.arange(10), people) * 365 + draw.integers(-20, 20, n_rows)
    order = draw.permutation(n_rows)
    table = {
        "participant_id": 1_000_000 + person,
        "visit_date": visit_date,
        "sex": np.where(person % 2, "M", "F"),
        "age": np.round(draw.uniform(20, 70, people)[person] + np.tile(np.arange(10), people), 1),
        "glucose (mg/dL)": np.round(draw.normal(95, 9, n_rows)).astype(int),
        "insulin (uIU/mL)": np.round(np.exp(draw.normal(2.1, 0.5, n_rows)), 1),
        "triglycerides (mg/dL)": np.round(np.exp(draw.normal(4.7, 0.4, n_rows))).astype(int),
        "hdl (mg/dL)": np.round(draw.normal(52, 12, n_rows)).clip(10).astype(int),
    }
    pl.DataFrame({name: values[order] for name, values in table.items()}).write_csv(path)


def measured(job: str, *arguments: str) -> tuple[float, float]:
    """Run a job in a process of its own: seconds, and the most memory in GB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments], input=job, capture_output=True, text=True, check=True
    )
    seconds, gigabytes = map(float, done.stdout.split())
    return seconds, gigabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "labs.csv"
        export(path, asked.rows, asked.seed)
        megabytes = path.stat().st_size / 1e6
        runs = [(measured(BARE, str(path)), measured(IRCOHORT, str(path), str(asked.rows))) for _ in range(asked.runs)]
    lines = [
        "# Ten million rows",
        "",
        f"`python benchmarks/ten_million_rows.py --rows {asked.rows} --runs {asked.runs}`: {asked.rows:,} rows of "
        f"eight columns, {megabytes:,.0f} MB. *Bare polars* scans the file and writes it as Parquet; *ircohort* reads "
        "it (all cells as text, SHA-256, places), normalises and accounts for every row and value.",
        "",
        "| run | bare polars, s | ircohort, s | ratio | bare polars, GB | ircohort, GB |",
        "| --- | --- | --- | --- | --- | --- |",
        *(
            f"| {run} | {bare[0]:.2f} | {ours[0]:.2f} | {ours[0] / bare[0]:.2f} | {bare[1]:.2f} | {ours[1]:.2f} |"
            for run, (bare, ours) in enumerate(runs, start=1)
        ),
        "",
        f"Median ratio {statistics.median(ours[0] / bare[0] for bare, ours in runs):.2f}; most memory "
        f"{max(ours[1] for _, ours in runs):.2f} GB.",
        "",
        f"Measured on {date.today().isoformat()}: {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, polars {version('polars')}, NumPy {version('numpy')}, ircohort "
        f"{version('ircohort')}.",
    ]
    asked.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
