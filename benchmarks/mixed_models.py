"""Mixed models at the size of a cohort: ircohort beside statsmodels, lme4, nlme and mixedlm-rs, in one run.

    python benchmarks/mixed_models.py                # writes benchmarks/mixed_models.md; about half an hour

From the frame in memory to the result. Every fit has a process of its own, and the engines take turns; before the clock
starts, all is imported, the table is read, and the model has been fitted to the first 50 people. Ratios are taken run
by run, for machines are noisy. R and its packages are Debian's (r-cran-lme4, r-cran-nlme); mixedlm-rs is installed by
uv into an environment that is thrown away.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

VISITS = 8
FIXED = "log_homa_ir ~ years * progressor + age + male + bmi + smoker"
RANDOM = "(1 + years | participant_id)"
ZERO = "y ~ years"

IRCOHORT = f"""
import polars as pl
import ircohort.lmm
from ircohort.lmm import fit

def read(path):
    return pl.read_parquet(path + ".parquet")

def fitted(frame):
    return fit("{FIXED} + {RANDOM}", frame)

def said(found):
    assert found.converged
    named = [dict(zip(found.fixed["term"], found.fixed[name])) for name in ("estimate", "standard_error")]
    return found.log_likelihood, *named, found.evaluations
"""

STATSMODELS = f"""
import warnings
import pandas as pd
from statsmodels.regression.mixed_linear_model import MixedLM
warnings.simplefilter("ignore")

def read(path):
    return pd.read_csv(path + ".csv")

def fitted(frame):
    return MixedLM.from_formula("{FIXED}", frame, groups="participant_id", re_formula="~years").fit()

def said(found):
    names = found.model.exog_names
    return found.llf, dict(zip(names, found.fe_params)), dict(zip(names, found.bse_fe)), None
"""

MIXEDLM_RS = f"""
import warnings
import pandas as pd
import mixedlm_rs
warnings.simplefilter("ignore")

def read(path):
    return pd.read_csv(path + ".csv")

def fitted(frame):
    return mixedlm_rs.mixedlm("{FIXED}", frame, groups="participant_id", re_formula="~years").fit()

def said(found):
    names = found.model.exog_names
    return found.llf, dict(zip(names, found.fe_params)), dict(zip(names, found.bse_fe)), None
"""

MEASURED = """
import json, resource, sys, time
exec(compile(sys.stdin.read(), "job", "exec"))
frame = read(sys.argv[1])
fitted(frame[:400])
started = time.perf_counter()
found = fitted(frame)
seconds = time.perf_counter() - started
likelihood, estimates, errors, evaluations = said(found)
print(json.dumps({
    "seconds": seconds,
    "gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    "log_likelihood": float(likelihood),
    "estimates": {name: float(each) for name, each in estimates.items()},
    "errors": {name: float(each) for name, each in errors.items()},
    "evaluations": evaluations,
}))
"""

BOOTSTRAP = f"""
import json, sys, time
import polars as pl
from ircohort.lmm import bootstrap, fit

frame = pl.read_parquet(sys.argv[1] + ".parquet")
bootstrap(fit("{FIXED} + {RANDOM}", frame[:400]), n_refits=2, seed=1)
found = fit("{FIXED} + {RANDOM}", frame)
started = time.perf_counter()
bootstrap(found, n_refits=int(sys.argv[2]), seed=1)
print(json.dumps({{"seconds": time.perf_counter() - started}}))
"""

ZERO_JOBS = {
    "ircohort": f"""
from ircohort.lmm import fit
def judged(frame):
    found = fit("{ZERO} + {RANDOM}", frame)
    return found.converged, found.at_boundary
""",
    "statsmodels": f"""
from statsmodels.regression.mixed_linear_model import MixedLM
def judged(frame):
    found = MixedLM.from_formula("{ZERO}", frame.to_pandas(), groups="participant_id", re_formula="~years").fit()
    return found.converged, False
""",
    "mixedlm-rs": f"""
import mixedlm_rs
def judged(frame):
    found = mixedlm_rs.mixedlm("{ZERO}", frame, groups="participant_id", re_formula="~years").fit()
    return found.converged, found.singular
""",
}

ZERO_MEASURED = """
import json, sys, warnings
exec(compile(sys.stdin.read(), "job", "exec"))
warnings.simplefilter("ignore")
try:
    import polars as pl
    cohorts = pl.read_csv(sys.argv[1] + ".csv").partition_by("cohort", maintain_order=True)
except ImportError:
    import pandas as pd
    cohorts = [cohort for _, cohort in pd.read_csv(sys.argv[1] + ".csv").groupby("cohort")]
converged, singular, raised = [], [], 0
for cohort in cohorts:
    try:
        good, zero = judged(cohort)
    except Exception:
        good, zero, raised = False, False, raised + 1
    converged.append(int(good))
    singular.append(int(zero))
print(json.dumps({"converged": converged, "singular": singular, "raised": raised}))
"""

Said = dict


# --- tables -------------------------------------------------------------------------------------------------------


def cohort(people: int, seed: int) -> pl.DataFrame:
    """Simulate visits, eight for each of ``people``: numbers only, so that no engine has texts to sort out."""
    draw = np.random.default_rng([seed, people])
    person = np.repeat(np.arange(people), VISITS)
    rows = len(person)
    years = (np.tile(np.arange(VISITS), people) + draw.uniform(-0.3, 0.3, rows)).round(2)
    level, slope = draw.normal(size=(2, people))
    each = {
        "progressor": draw.integers(0, 2, people),
        "age": draw.uniform(30, 70, people).round(1),
        "male": draw.integers(0, 2, people),
        "smoker": (draw.random(people) < 0.2).astype(int),
    }
    of = {name: values[person] for name, values in each.items()}
    bmi = (draw.normal(27, 4, people)[person] + draw.normal(0, 1, rows)).round(1)
    y = 0.4 + (0.02 + 0.03 * of["progressor"]) * years + 0.004 * of["age"] + 0.05 * of["male"] + 0.03 * (bmi - 27)
    y = y + 0.45 * level[person] + 0.06 * (0.2 * level + 0.98 * slope)[person] * years + draw.normal(0, 0.3, rows)
    return pl.DataFrame({"participant_id": person, "years": years, **of, "bmi": bmi, "log_homa_ir": y.round(4)})


def nobody_differs(cohorts: int, seed: int) -> pl.DataFrame:
    """Simulate cohorts of 40 people with six visits each, who differ in nothing but measurement."""
    draw = np.random.default_rng(seed)
    shape = np.ogrid[:cohorts, :40, :6]
    number, person, years = (np.broadcast_to(each, (cohorts, 40, 6)).ravel() for each in shape)
    y = 1 + 0.1 * years + draw.normal(0, 0.3, len(number))
    return pl.DataFrame({"cohort": number, "participant_id": person, "years": years, "y": y.round(4)})


# --- processes ----------------------------------------------------------------------------------------------------


def answered(command: list[str], job: str | None = None) -> Said:
    done = subprocess.run(command, input=job, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[:2]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def engines(directory: Path) -> dict[str, Callable[[Path], Said]]:
    """Give for every engine that is here the function that fits the table at a path (without its suffix)."""

    def by_python(program: str, job: str) -> Callable[[Path], Said]:
        return lambda table: answered([program, "-c", MEASURED, str(table)], job)

    def by_r(name: str) -> Callable[[Path], Said]:
        return lambda table: answered(["Rscript", str(HERE / "mixed_models.R"), name, f"{table}.csv"])

    return {
        "ircohort": by_python(sys.executable, IRCOHORT),
        "mixedlm-rs": by_python(environment_of_mixedlm_rs(directory), MIXEDLM_RS),
        "lme4": by_r("lme4"),
        "nlme": by_r("nlme"),
        "statsmodels": by_python(sys.executable, STATSMODELS),
    }


def environment_of_mixedlm_rs(directory: Path) -> str:
    """Install mixedlm-rs into an environment of its own, and give its Python."""
    place, uv = directory / "mixedlm-rs", str(Path(sys.executable).with_name("uv"))
    program = str(place / "bin" / "python")
    if not place.exists():
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(place)], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", program, "mixedlm-rs"], check=True)
    return program


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


# --- sections of the page -----------------------------------------------------------------------------------------


def side_by_side(asked: argparse.Namespace, directory: Path) -> tuple[list[str], float | None]:
    """Fit the same table by all engines in turn; the lines, and the seconds of statsmodels."""
    table = written(cohort(asked.people, asked.seed), directory)
    every = engines(directory)
    runs: list[dict[str, Said]] = []
    for run in range(asked.runs):
        runs.append({})
        for name, fitted in every.items():
            if name in asked.without or (name in ("statsmodels", "nlme") and run > 0):
                continue
            runs[-1][name] = fitted(table)
            say(f"run {run + 1}: {name} {runs[-1][name]['seconds']:.3f} s")
    lines = [
        f"## {asked.people:,} people, {asked.people * VISITS:,} visits, 8 fixed effects, random intercept and slope",
        "",
        "| engine | runs | seconds, median | times ircohort's, median of runs | memory, GB | log-likelihood "
        "| largest difference of a fixed effect from lme4's, standard errors |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    reference = runs[0].get("lme4", runs[0]["ircohort"])
    for name in every:
        of = [run[name] for run in runs if name in run]
        if not of:
            continue
        ratios = [run[name]["seconds"] / run["ircohort"]["seconds"] for run in runs if name in run]
        lines.append(
            f"| {name} | {len(of)} | {median(of):.3f} | {statistics.median(ratios):.1f} "
            f"| {max(each['gigabytes'] for each in of):.2f} | {of[0]['log_likelihood']:.4f} "
            f"| {furthest(of[0], reference):.1e} |"
        )
    evaluations = runs[0]["ircohort"]["evaluations"]
    lines += ["", f"ircohort took {evaluations} evaluations of the likelihood."]
    slow = runs[0].get("statsmodels")
    return lines, None if slow is None else slow["seconds"]


def furthest(ours: Said, theirs: Said) -> float:
    """Give the largest difference of a fixed effect, in standard errors."""
    assert ours["estimates"].keys() == theirs["estimates"].keys()
    return max(
        abs(ours["estimates"][name] - theirs["estimates"][name]) / error for name, error in theirs["errors"].items()
    )


def median(said: list[Said]) -> float:
    return statistics.median(each["seconds"] for each in said)


def written(frame: pl.DataFrame, directory: Path) -> Path:
    table = directory / "table"
    frame.write_parquet(f"{table}.parquet")
    frame.write_csv(f"{table}.csv")
    return table


def growth(asked: argparse.Namespace, directory: Path) -> list[str]:
    every = engines(directory)
    lines = [
        "## Growth",
        "",
        "Medians of the runs; memory is the most that the process ever held, the table in it.",
        "",
        "| people | visits | ircohort, s | s per 100,000 people | memory, GB | lme4, s | mixedlm-rs, s "
        "| mixedlm-rs, memory, GB |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for people in asked.sizes:
        table = written(cohort(people, asked.seed), directory)
        others = [name for name in ("lme4", "mixedlm-rs") if name not in asked.without and people <= asked.others_up_to]
        said: dict[str, list[Said]] = {name: [] for name in ("ircohort", *others)}
        for run in range(asked.runs):
            for name in said:
                if name != "lme4" or run == 0:
                    said[name].append(every[name](table))
        seconds = {name: median(of) for name, of in said.items()}
        most = {name: max(each["gigabytes"] for each in of) for name, of in said.items()}
        say(f"{people:,} people: {seconds}")
        ours = seconds["ircohort"]
        cells = (
            f"{people:,}",
            f"{people * VISITS:,}",
            f"{ours:.3f}",
            f"{ours / people * 1e5:.2f}",
            f"{most['ircohort']:.2f}",
            shown(seconds, "lme4"),
            shown(seconds, "mixedlm-rs"),
            shown(most, "mixedlm-rs"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def shown(values: dict[str, float], name: str) -> str:
    return f"{values[name]:.2f}" if name in values else ""


def refits(asked: argparse.Namespace, directory: Path, slow: float | None) -> list[str]:
    table = written(cohort(asked.people, asked.seed), directory)
    said = answered([sys.executable, "-c", BOOTSTRAP, str(table), str(asked.refits)])
    beside = (
        ""
        if slow is None
        else f"; one fit by statsmodels took {slow:.1f} s, {slow / said['seconds']:.2f} times as long"
    )
    return [
        "## Cluster bootstrap",
        "",
        f"{asked.refits:,} refits of {asked.people:,} people, every parameter anew: {said['seconds']:.1f} s{beside}.",
    ]


def zero_variance(directory: Path) -> list[str]:
    """Fit cohorts in which people do not differ at all."""
    table = directory / "zero"
    nobody_differs(60, 1).write_csv(f"{table}.csv")
    programs = dict.fromkeys(ZERO_JOBS, sys.executable) | {"mixedlm-rs": environment_of_mixedlm_rs(directory)}
    said = {name: answered([programs[name], "-c", ZERO_MEASURED, str(table)], job) for name, job in ZERO_JOBS.items()}
    said["lme4"] = answered(["Rscript", str(HERE / "mixed_models.R"), "zero", f"{table}.csv"]) | {"raised": 0}
    lines = [
        "## Sixty cohorts in which people do not differ",
        "",
        "40 people with six visits each, `y ~ years + (1 + years | participant_id)`, measurement variation only. By "
        "chance alone some cohorts look as if people differed: the estimate is at the boundary in part of them.",
        "",
        "| engine | converged | raised an exception | called the boundary "
        "| the same verdict as lme4's `isSingular` after a search with a tight tolerance |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, of in said.items():
        same = sum(int(ours == theirs) for ours, theirs in zip(of["singular"], said["lme4"]["truly"], strict=True))
        boundary = "does not say" if name == "statsmodels" else sum(map(int, of["singular"]))
        verdict = "" if name == "statsmodels" else f"{same} of 60"
        lines.append(f"| {name} | {sum(map(int, of['converged']))} of 60 | {of['raised']} | {boundary} | {verdict} |")
    return lines


def against_lme4() -> list[str]:
    """Hold fits against the committed answers of lme4: published experiments and random designs."""
    from ircohort.lmm import fit
    from random_designs import REFERENCE, random_designs

    def textbook(row: Said) -> pl.DataFrame:
        return pl.read_csv(REFERENCE / "textbook" / f"{row['dataset']}.csv")

    made = {design.name: design.frame for design in random_designs(50)}
    sources: dict[str, tuple[str, Callable[[Said], pl.DataFrame]]] = {
        "published experiments": ("textbook", textbook),
        "random designs": ("random_designs", lambda row: made[row["dataset"]]),
    }
    lines = [
        "## Against lme4's best",
        "",
        "lme4 was asked three times for each model (default, bobyqa with a tight tolerance, Nelder-Mead), its best "
        "taken and gone over again: `tests/reference/by_lme4.R`. The optimum is the same where the log-likelihoods are "
        "within 1e-7 of each other, relative.",
        "",
        "| models of | fits | converged | furthest below lme4, relative | same optimum | largest difference of a fixed "
        "effect there, standard errors | higher than lme4's best | lme4's default stops more than 1e-6 below |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for title, (name, table_of) in sources.items():
        fits = pl.read_csv(REFERENCE / f"{name}_fits.csv", infer_schema_length=None)
        estimates = pl.read_csv(REFERENCE / f"{name}_estimates.csv", infer_schema_length=None)
        converged = same = higher = short = 0
        below, apart = 0.0, 0.0
        for row in fits.iter_rows(named=True):
            ours = fit(row["formula"], table_of(row), reml=row["reml"] == 1)
            beyond = (ours.log_likelihood - row["log_likelihood"]) / abs(row["log_likelihood"])
            best = max(ours.log_likelihood, row["log_likelihood"])
            converged += ours.converged
            below = max(below, -beyond)
            higher += beyond > 1e-7
            short += best - row["by_default"] > 1e-6 * abs(best)
            same += abs(beyond) <= 1e-7
            if abs(beyond) <= 1e-7 and "cr(" not in row["formula"]:
                key = {each: row[each] for each in ("dataset", "model", "reml")}
                theirs = estimates.filter(quantity="fixed", **key)
                errors = theirs["standard_error"].to_numpy()
                apart = max(apart, float((np.abs(ours.coefficients - theirs["value"].to_numpy()) / errors).max()))
        lines.append(
            f"| {title} | {fits.height} | {converged} | {below:.1e} | {same} | {apart:.1e} | {higher} | {short} |"
        )
    return lines


def surroundings(directory: Path) -> str:
    python = {name: version(name) for name in ("ircohort", "numpy", "scipy", "polars", "pandas", "statsmodels")}
    in_r = "cat(R.version$major, R.version$minor, as.character(packageVersion('lme4')), " + (
        "as.character(packageVersion('nlme')), basename(extSoftVersion()['BLAS']))"
    )
    major, minor, lme4, nlme, blas = subprocess.run(
        ["Rscript", "-e", in_r], capture_output=True, text=True, check=True
    ).stdout.split()
    asks = "from importlib.metadata import version; print(version('mixedlm-rs'))"
    command = [environment_of_mixedlm_rs(directory), "-c", asks]
    rust = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    return (
        f"Measured on {date.today().isoformat()}: {platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {', '.join(f'{name} {said}' for name, said in python.items())}, "
        f"mixedlm-rs {rust}; R {major}.{minor} with {blas}, lme4 {lme4}, nlme {nlme}. OMP_NUM_THREADS: {threads}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="*", default=[5_000, 20_000, 100_000, 1_000_000])
    parser.add_argument("--others-up-to", type=int, default=100_000)
    parser.add_argument("--refits", type=int, default=1_000)
    parser.add_argument("--without", nargs="*", default=[], help="engines that are left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".md"))
    asked = parser.parse_args()
    command = " ".join(["python benchmarks/mixed_models.py", *sys.argv[1:]])
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        compared, slow = side_by_side(asked, directory)
        sections = [
            compared,
            growth(asked, directory) if asked.sizes else [],
            refits(asked, directory, slow) if asked.refits else [],
            zero_variance(directory),
            against_lme4(),
            [surroundings(directory)],
        ]
    introduction = [
        "# Mixed models",
        "",
        f"`{command}`: `{FIXED} + {RANDOM}`, REML, from the frame in memory (polars for ircohort, pandas for "
        "statsmodels and mixedlm-rs, a data frame for R) to the result. Each fit in a process of its own, engines in "
        "turn; imports, the reading of the table and a fit of the first 50 people before the clock starts. All engines "
        "by their defaults.",
    ]
    text = "\n\n".join("\n".join(lines) for lines in [introduction, *sections] if lines) + "\n"
    asked.output.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
