"""What a limit of detection does to a mixed model of log insulin: bounds, half the limit, visits left out, no limit.

Made by ``python benchmarks/censored_bias.py > benchmarks/censored_bias.md``.
"""

import os
import time
from collections import defaultdict

import numpy as np
import polars as pl

from ircohort.analysis import versions
from ircohort.lmm import fit
from ircohort.lmm.censored import fit_censored

COHORTS, PEOPLE, VISITS = 50, 300, 6
LIMIT = 5.9  # uIU/mL
FIXED = {"Intercept": 2.0, "years": 0.05, "male": 0.2}
SDS, CORRELATION, RESIDUAL = (0.5, 0.08), 0.2, 0.3
TERMS = "years + male + (1 + years | participant_id)"


def cohort(seed: int) -> pl.DataFrame:
    r = np.random.default_rng(seed)
    person, years = np.repeat(np.arange(PEOPLE), VISITS), np.tile(np.arange(VISITS, dtype=float), PEOPLE)
    male = np.repeat(r.integers(0, 2, PEOPLE), VISITS).astype(float)
    G = np.outer(SDS, SDS) * np.array([[1, CORRELATION], [CORRELATION, 1]])
    u = r.multivariate_normal([0, 0], G, PEOPLE)
    log = np.column_stack([np.ones(len(person)), years, male]) @ list(FIXED.values())
    log += u[person, 0] + u[person, 1] * years + r.normal(0, RESIDUAL, len(person))
    below = pl.col("true") < LIMIT
    frame = pl.DataFrame({"participant_id": person, "years": years, "male": male, "true": np.exp(log)})
    return frame.with_columns(
        seen=pl.when(~below).then("true"),
        half=pl.when(below).then(LIMIT / 2).otherwise("true"),
        lower=pl.when(below).then(0.0),
        upper=pl.when(below).then(LIMIT),
    )


METHODS = {
    "no limit of detection": lambda frame: fit(f"log(true) ~ {TERMS}", frame, reml=False),
    "bounds (`fit_censored`)": lambda frame: fit_censored(f"log(seen) ~ {TERMS}", frame, lower="lower", upper="upper"),
    "half the limit": lambda frame: fit(f"log(half) ~ {TERMS}", frame, reml=False),
    "visits below left out": lambda frame: fit(f"log(seen) ~ {TERMS}", frame, reml=False),
}


def main() -> None:
    frames = [cohort(seed) for seed in range(COHORTS)]
    share = np.mean([frame["seen"].is_null().mean() for frame in frames])
    truth = {**FIXED, "SD of level": SDS[0], "SD of slope": SDS[1], "residual SD": RESIDUAL}
    said = versions()
    made_by = ", ".join(f"{name} {said[name]}" for name in ("python", "ircohort", "numpy", "scipy") if name in said)
    print("# Bias from a limit of detection\n")
    print(
        f"`python benchmarks/censored_bias.py`: {COHORTS} cohorts of {PEOPLE} people with {VISITS} visits, log "
        f"insulin, {100 * share:.0f} % of the readings below a limit of {LIMIT} uIU/mL, random level and slope, full "
        f"maximum likelihood; {made_by}; {os.cpu_count()} cores.\n"
    )
    print("Bias is that of the mean estimate, with its Monte Carlo standard error; SE is the mean stated one.\n")
    print("| method | converged | s per fit | estimate | truth | bias | SD of estimates | SE | 95 % covers |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, method in METHODS.items():
        begin = time.perf_counter()
        fits = [method(frame) for frame in frames]
        seconds = (time.perf_counter() - begin) / COHORTS
        _report(name, fits, seconds, truth)


def _report(name: str, fits: list, seconds: float, truth: dict[str, float]) -> None:
    found = defaultdict(list)
    for one in fits:
        sds = np.sqrt([*np.diagonal(one.random_covariance), one.residual_variance])
        for term, value in zip(truth, [*one.coefficients, *sds], strict=True):
            found[term].append(value)
    errors = np.array([np.sqrt(np.diagonal(one.fixed_covariance)) for one in fits])
    converged = f"{sum(one.converged for one in fits)} of {len(fits)}"
    for k, (term, values) in enumerate(found.items()):
        estimates, true = np.array(values), truth[term]
        stated, covers = "", ""
        if k < errors.shape[1]:
            stated = f"{errors[:, k].mean():.4f}"
            covers = f"{100 * np.mean(np.abs(estimates - true) < 1.96 * errors[:, k]):.0f} %"
        spread = estimates.std(ddof=1)
        print(
            f"| {name if k == 0 else ''} | {converged if k == 0 else ''} | {f'{seconds:.2f}' if k == 0 else ''} "
            f"| {term} | {true:g} | {estimates.mean() - true:+.4f} ± {spread / len(fits) ** 0.5:.4f} "
            f"| {spread:.4f} | {stated} | {covers} |"
        )


if __name__ == "__main__":
    main()
