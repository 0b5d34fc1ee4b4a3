"""How wide is the interval of the hidden window? Simulated clinics of growing size, two seeds each.

Made by ``python benchmarks/cohort_size.py > benchmarks/cohort_size.md``.
"""

import os
from dataclasses import replace

import ircohort as ic
from ircohort.analysis import versions
from ircohort.evaluation import visits_of
from ircohort.trajectory import ModelSettings

SIZES = (500, 1000, 2000, 4000)
SEEDS = (14, 1)


def main() -> None:
    print("# Hidden window of the simulated clinic by size of the cohort\n")
    said = versions()
    made_by = ", ".join(f"{name} {said[name]}" for name in ("python", "ircohort", "polars", "statsmodels"))
    print(f"`python benchmarks/cohort_size.py`, HOMA-IR, 200 refits; {made_by}; {os.cpu_count()} cores.\n")
    print(
        "| people | seed | cases / comparison | onset, years before (95 %) | hidden window, years (95 %) | no onset |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for size in SIZES:
        for seed in SEEDS:
            design = replace(ic.DESIGNS["clinic"], n_participants=size)
            visits = ic.markers(visits_of(ic.simulate(design, seed=seed)))
            found = ic.hidden_window(visits, ModelSettings(sensitivity=False))
            row = found.onset.row(0, named=True)
            print(
                f"| {size:,} | {seed} | {found.counts['cases']} / {found.counts['comparison']} "
                f"| {_years(row, 'onset')} | {_years(row, 'hidden_window')} "
                f"| {row['n_refits_without_onset']} of {row['n_refits']} refits |"
            )


def _years(row: dict, name: str) -> str:
    middle, low, high = (row[key] for key in (f"{name}_years", f"{name}_low", f"{name}_high"))
    shown = ["beyond the data" if end is None else f"{abs(end):.1f}" for end in (low, high)]
    return ("none" if middle is None else f"{abs(middle):.1f}") + f" ({shown[0]} to {shown[1]})"


if __name__ == "__main__":
    main()
