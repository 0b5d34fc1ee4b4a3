"""The command line: every command, every exit code, and what bad input is told."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from ircohort import cli
from ircohort.cli.writing import progress

ROWS = "id,date,glucose (mg/dL),insulin (uIU/mL),tg (mg/dL),hdl (mg/dL)\n" + "".join(
    f"p{person},20{10 + year}-03-0{person + 1},{88 + person},{6 + year + person},100,{50 - person}\n"
    for person in range(4)
    for year in range(5)
)


@pytest.fixture
def labs(tmp_path):
    path = tmp_path / "labs.csv"
    path.write_text(ROWS)
    return path


@pytest.fixture
def call(capsys):
    def run(*arguments):
        code = cli.exit_code([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A configuration for a small simulated clinic, large enough for detection and a model; few refits, for speed."""
    directory = tmp_path_factory.mktemp("clinic")
    code = cli.exit_code(
        ["simulate", "--design", "clinic", "--participants", "450", "--seed", "6", "-o", str(directory), "--quiet"]
    )
    assert code == 0
    config = directory / "cohort.toml"
    config.write_text(
        'config = 1\n[tables.labs]\nfiles = ["labs.csv"]\n[detect]\nrefits = 2\ndraws = 128\n[model]\nn_refits = 20\n'
    )
    return config


@pytest.fixture(scope="module")
def ran(clinic, tmp_path_factory):
    out = tmp_path_factory.mktemp("ran") / "out"
    assert cli.exit_code(["run", "--config", str(clinic), "-o", str(out), "--quiet"]) == 0
    return out


# --- the main job -----------------------------------------------------------------------------------------------


def test_run_leaves_the_files_of_the_contract(ran):
    found = {path.relative_to(ran).as_posix() for path in ran.rglob("*") if path.is_file()}
    model = {f"model/{name}.csv" for name in ("fixed", "random", "curves", "onset", "sensitivity", "people_by_year")}
    figures = {
        f"figures/{name}.{kind}"
        for name in ("hidden_window", "trajectories", "plane", "distributions")
        for kind in ("png", "svg")
    }
    tables = {"visits.parquet", "visits.csv", "participants.csv", "windows.csv", "rejected.csv"}
    names = ("transitions", "person_years", "recovery", "persistence", "contrasts", "tracking", "secretion")
    states = {f"states/{name}.csv" for name in names}
    assert found == model | states | figures | tables | {"report.html", "manifest.json"}


def test_the_report_says_what_noise_would_do_and_who_is_flagged_without_an_event(ran):
    page = (ran / "report.html").read_text()
    assert page.count("visits dealt out anew at random") == 1
    assert page.count("in whom no event was confirmed") == 1


def test_states_over_time_add_up_to_the_follow_up(ran):
    visits = pl.read_csv(ran / "visits.csv", infer_schema_length=None)
    span = visits.group_by("participant_id").agg(pl.col("years").max() - pl.col("years").min())["years"].sum()
    assert pl.read_csv(ran / "states" / "person_years.csv")["person_years"].sum() == pytest.approx(span)


def test_run_says_where_the_report_is_and_keeps_standard_output_clean(call, labs, tmp_path):
    code, out, err = call("run", labs, "-o", tmp_path / "out")
    assert (code, out) == (0, "")
    assert f"Report: {tmp_path / 'out' / 'report.html'}" in err
    assert "No participant has data that can be judged one by one; " in err
    assert "The reasons stand in participants.csv." in err


def test_two_runs_give_the_same_bytes_but_for_the_account_of_the_run(ran, clinic, tmp_path):
    shuffled = tmp_path / "labs.csv"
    header, *rows = (clinic.parent / "labs.csv").read_text().splitlines()
    shuffled.write_text("\n".join([header, *sorted(rows, key=lambda row: row[::-1])]) + "\n")
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    out = tmp_path / "again"
    command = [sys.executable, "-m", "ircohort", "run", str(shuffled), "--config", str(clinic), "-o", str(out)]
    subprocess.run([*command, "--quiet"], check=True, env=environment)
    first, second = (json.loads((path / "manifest.json").read_text()) for path in (ran, out))
    assert first["outputs"] == second["outputs"]
    differing = {key for key in first if first[key] != second[key]}
    assert differing <= {"run", "inputs"}  # the order of the rows changes the hash of the input


def test_the_directory_is_verified_and_changes_are_found(call, ran, tmp_path):
    assert call("verify", ran)[0] == 0
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(ran), str(copy)], check=True)
    (copy / "windows.csv").write_text("changed")
    (copy / "rejected.csv").unlink()
    (copy / "mine.txt").write_text("foreign")
    code, _, err = call("verify", copy)
    assert code == 6
    assert all(line in err for line in ("changed: windows.csv", "missing: rejected.csv", "foreign: mine.txt"))
    assert call("run", ran, "-o", copy, "--overwrite")[0] == 2


def test_a_directory_that_is_not_empty_is_left_alone(call, labs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    for extra in ((), ("--overwrite",)):
        code, _, err = call("run", labs, "-o", out, *extra)
        assert code == 2
        assert "is not empty" in err or "is not replaced" in err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_an_earlier_output_is_replaced_on_request(call, labs, tmp_path):
    out = tmp_path / "out"
    assert call("run", labs, "-o", out)[0] == 0
    assert call("run", labs, "-o", out)[0] == 2
    assert call("run", labs, "-o", out, "--overwrite")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labs.csv", "out"]


def test_too_small_a_cohort_gets_a_page_and_a_warning_instead_of_a_model(call, labs, tmp_path):
    code, _, err = call("run", labs, "-o", tmp_path / "out")
    assert code == 0
    assert "No trajectory" in err
    assert not (tmp_path / "out" / "model").exists()
    assert "No trajectory" in (tmp_path / "out" / "report.html").read_text()


def test_fail_on_writes_everything_and_exits_with_5(call, labs, tmp_path):
    labs.write_text(ROWS + "p9,2010-01-01,abc,,,\n")
    code, _, err = call("run", labs, "-o", tmp_path / "a", "--fail-on", "rejected=1%")
    assert code == 5
    assert "1 of 21 rows" in err
    assert (tmp_path / "a" / "report.html").exists()
    assert call("run", labs, "-o", tmp_path / "b", "--fail-on", "rejected=10%")[0] == 0
    assert call("run", labs, "-o", tmp_path / "c", "--fail-on", "rejected=many")[0] == 2


def test_visits_csv_can_be_left_out(call, labs, tmp_path):
    assert call("run", labs, "-o", tmp_path / "out", "--no-visits-csv")[0] == 0
    assert not (tmp_path / "out" / "visits.csv").exists()
    assert (tmp_path / "out" / "visits.parquet").exists()


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [
        ("", 6, "is empty"),
        ("id,date,glucose\np1,2020-01-01,95\n", 3, "no stated unit (labs.csv, column glucose)"),
        ("id,date,weight\np1,2020-01-01,95\n", 3, "No column is recognised as one of"),
        ("date,glucose (mg/dL)\n2020-01-01,95\n", 3, "participant identifier"),
        ('id,date,glucose (mg/dL)\np1,"2020,95\n', 6, "at line 2"),
        ("id,date,glucose (mg/dL)\np1,01/02/2020,95\n", 3, "--date-format"),
        ("id,id,glucose (mg/dL)\np1,p1,95\n", 3, "more than once"),
    ],
)
@pytest.mark.parametrize("command", ["run", "check", "markers"])
def test_bad_input_gets_a_clear_error_and_its_exit_code(call, tmp_path, command, content, code, told):
    path = tmp_path / "labs.csv"
    path.write_text(content)
    extra = ("-o", tmp_path / "out") if command == "run" else ()
    found, _, err = call(command, path, *extra)
    assert found == code
    assert told in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "labs.csv"),
        ("run", "absent.csv", "-o", "out"),
        ("nothing",),
        ("run", "--column", "glucose", "-o", "out"),
        ("run", "-o", "out"),
        ("verify", "absent"),
        ("simulate", "--design", "moon", "-o", "out"),
        ("check", "absent.csv"),
        ("check", "--config", "absent.toml"),
    ],
)
def test_a_command_that_cannot_be_meant_exits_with_2(call, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(*arguments)
    assert code == 2
    assert err
    assert not list(tmp_path.iterdir())


def test_no_value_of_a_participant_is_in_any_message(call, tmp_path):
    path = tmp_path / "labs.csv"
    path.write_text("id,date,glucose (mg/dL)\nSECRET1,2020-01-01,77777\nSECRET2,1999-99-99,95\nSECRET3,x\n")
    _, out, err = call("run", path, "-o", tmp_path / "out")
    assert not any(word in out + err for word in ("SECRET", "77777", "1999-99-99"))


def test_a_model_that_cannot_be_fitted_exits_with_4(call, labs, tmp_path):
    code, _, err = call("model", labs, "-o", tmp_path / "model")
    assert code == 4
    assert err.startswith("Note:")
    assert "Error:" in err
    assert not (tmp_path / "model").exists()


def test_a_directory_that_cannot_be_written_exits_with_6(call, labs, tmp_path):
    (tmp_path / "file").write_text("")
    assert call("run", labs, "-o", tmp_path / "file" / "out")[0] == 6


def test_a_fault_is_one_line_and_its_trace_holds_no_values(call, labs, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("ircohort.analysis.normalise", lambda *_: 1 / 0 if True else None)
    code, _, err = call("markers", labs)
    assert code == 70
    assert len(err.strip().splitlines()) == 1
    trace = Path(err.strip().rsplit(" ", 1)[-1]).read_text()
    assert "ZeroDivisionError" in trace
    assert "division by zero" not in trace


@pytest.mark.parametrize("seconds", [2.0, 3.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_exits_with_130_and_leaves_nothing(clinic, tmp_path, seconds, number):
    command = [sys.executable, "-m", "ircohort", "run", "--config", str(clinic), "-o", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted; nothing was left behind." in said
    assert not list(tmp_path.iterdir())


def test_an_interruption_amid_an_import_waits_for_its_end(tmp_path):
    (tmp_path / "loaded.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\nwhole = True\n")
    script = (
        "import signal, time\n"
        "from ircohort.__main__ import interrupt\n"
        "signal.signal(signal.SIGINT, interrupt)\n"
        "import loaded\n"
        "assert loaded.whole\n"
        "try:\n"
        "    time.sleep(60)\n"
        "except KeyboardInterrupt:\n"
        "    signal.raise_signal(signal.SIGINT)  # ends already: a second one changes nothing\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("interrupted", "")


@pytest.mark.parametrize("arguments", [("run", "labs.csv", "-o", "-"), ("model", "labs.csv", "-o", "-")])
def test_a_directory_does_not_go_to_standard_output(call, labs, monkeypatch, arguments):
    monkeypatch.chdir(labs.parent)
    assert call(*arguments)[0] == 2
    assert [path.name for path in labs.parent.iterdir()] == ["labs.csv"]


def test_an_input_is_never_written_to(call, labs):
    before = labs.read_bytes()
    for command in ("markers", "detect", "init", "report"):
        code, _, err = call(command, labs, "-o", labs)
        assert (code, "is an input" in err or "not written" in err) == (2, True)
    assert labs.read_bytes() == before


@pytest.mark.parametrize("out", ["", ".", "/", "new/", "visits.xlsx", "visits.csv.gz"])
def test_a_name_that_no_table_can_have_is_refused(call, labs, monkeypatch, out):
    monkeypatch.chdir(labs.parent)
    assert call("markers", labs, "-o", out)[0] == 2


def test_the_working_directory_is_not_replaced(call, labs, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert call("run", labs, "-o", ".")[0] == 2


def test_participants_and_windows_go_to_two_places(call, labs):
    assert call("detect", labs, "-o", "-", "--windows", "-")[0] == 2


@pytest.mark.parametrize("command", ["markers", "check"])
def test_standard_output_that_nobody_reads_exits_with_6(labs, command):
    labs.write_text(ROWS + ROWS.split("\n", 1)[1] * 2000)
    line = f"{sys.executable} -m ircohort {command} {labs} --quiet | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 6)  # 0 where all was written before the reader left
    assert "Traceback" not in done.stderr


def test_a_full_disk_exits_with_6(labs):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ircohort", "markers", str(labs), "--quiet"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 6
    assert "Traceback" not in done.stderr


def test_a_failed_write_leaves_nothing_behind(call, labs, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    assert call("markers", labs, "-o", tmp_path / "visits.csv")[0] == 6
    assert [path.name for path in tmp_path.iterdir()] == ["labs.csv"]


# --- the steps ----------------------------------------------------------------------------------------------------


def test_check_says_what_was_recognised(call, labs):
    code, out, _ = call("check", labs)
    assert code == 0
    assert any(line.split()[:4] == ["glucose", "(mg/dL)", "glucose", "spelling"] for line in out.splitlines())
    assert "labs.csv, rows: 20 read, 20 used" in out


def test_check_shows_the_table_while_a_question_is_open(call, labs):
    labs.write_text(ROWS.replace("glucose (mg/dL)", "glucose"))
    code, out, err = call("check", labs)
    assert code == 3
    assert "insulin (uIU/mL)" in out
    assert "--unit glucose=" in err


def test_init_writes_a_configuration_that_run_accepts(call, labs, tmp_path):
    config = tmp_path / "cohort.toml"
    assert call("init", labs, "-o", config)[0] == 0
    assert call("init", labs, "-o", config)[0] == 2
    assert call("run", "--config", config, "-o", tmp_path / "out")[0] == 0


def test_options_win_over_the_configuration(call, labs, tmp_path):
    config = tmp_path / "cohort.toml"
    call("init", labs, "-o", config)
    _, out, _ = call("markers", "--config", config, "--unit", "glucose=mmol/L")
    assert pl.read_csv(io.StringIO(out))["glucose_mg_dl"].null_count() == 20  # 88 mmol/L is implausible


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_markers_writes_a_table_in_the_form_that_is_asked_for(call, labs, tmp_path, form):
    path = tmp_path / f"visits.{form}"
    assert call("markers", labs, "-o", path)[0] == 0
    table = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[form](path)
    assert table.height == 20
    assert table["homa_ir"][0] == pytest.approx(88 * 6 / 405)


def test_standard_input_is_an_input(labs):
    answer = subprocess.run(
        [sys.executable, "-m", "ircohort", "markers", "-", "--quiet"],
        input=labs.read_bytes(),
        capture_output=True,
        check=True,
    )
    assert pl.read_csv(io.BytesIO(answer.stdout)).height == 20
    assert answer.stderr == b""


def test_joined_tables_are_named_by_option(call, tmp_path):
    (tmp_path / "labs.csv").write_text("key,glucose (mg/dL)\nv1,95\n")
    (tmp_path / "visits.csv").write_text("key,person,date\nv1,a,2020-01-01\n")
    code, out, _ = call(
        "markers", tmp_path / "labs.csv", "--table", f"visits={tmp_path / 'visits.csv'}", "--key", "visits=key",
        "--column", "participant_id=visits.person", "--column", "visit_date=visits.date",
    )  # fmt: skip
    assert code == 0
    assert pl.read_csv(io.StringIO(out))["participant_id"].to_list() == ["a"]


def test_detect_writes_participants_and_windows(call, clinic, tmp_path):
    windows = tmp_path / "windows.csv"
    code, out, err = call("detect", "--config", clinic, "--windows", windows)
    assert code == 0
    people = pl.read_csv(io.StringIO(out))
    assert people.height == 450
    flagged = people.filter(pl.col("verdict") == "hidden_window")
    assert f"{flagged.height} of {people['probability'].count()} people judged are flagged, " in err
    assert f", {(1 - flagged['probability']).sum():.1f} of these expected to be false (95 % interval " in err
    assert "Yearly change of insulin: SD between people " in err
    assert "window_start" in windows.read_text()


def test_how_censored_insulin_enters_detection_is_a_setting_of_the_configuration(call, clinic, tmp_path):
    config = tmp_path / "cohort.toml"
    labs = clinic.parent / "labs.csv"
    config.write_text(
        clinic.read_text()
        .replace('"labs.csv"', f'"{labs}"')
        .replace("[detect]\n", '[detect]\ncensored = "drop"\nnoise_check = false\n')
    )
    code, _, err = call("detect", "--config", config, "-o", tmp_path / "people.csv")
    assert code == 0
    assert "dealt out anew" not in err
    config.write_text(config.read_text().replace('"drop"', '"halve"'))
    code, _, err = call("detect", "--config", config, "-o", tmp_path / "others.csv")
    assert code == 3
    assert "interval, half_limit, drop" in err


def test_model_writes_its_tables(call, clinic, tmp_path):
    assert call("model", "--config", clinic, "-o", tmp_path / "model", "--bootstrap", "5")[0] == 0
    assert (tmp_path / "model" / "onset.csv").exists()


def test_report_writes_the_page_alone_and_shows_identifiers_on_request_only(call, clinic, ran, tmp_path):
    participants = pl.read_csv(ran / "participants.csv", infer_schema_length=None)
    flagged = participants.filter(pl.col("verdict") == "hidden_window")["participant_id"].to_list()
    assert flagged
    plain = (ran / "report.html").read_text()
    assert not any(person in plain for person in flagged)
    assert call("report", "--config", clinic, "-o", tmp_path / "page.html", "--identifiers", "--quiet")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert any(person in page for person in flagged)


def test_the_numbers_of_the_report_lead_to_the_people(ran):
    participants = pl.read_csv(ran / "participants.csv", infer_schema_length=None)
    numbered = participants.filter(pl.col("report_number").is_not_null())
    assert numbered["verdict"].unique().to_list() == ["hidden_window"]
    assert sorted(numbered["report_number"]) == list(range(1, numbered.height + 1))


def test_simulate_refuses_to_overwrite(call, tmp_path):
    arguments = ("simulate", "--participants", "3", "--visits", "2", "-o", tmp_path / "sim")
    assert call(*arguments)[0] == 0
    assert call(*arguments)[0] == 2


def test_evaluate_gives_a_table(call):
    code, out, _ = call(
        "evaluate", "--design", "clinic", "--participants", "40", "--visits", "6", "--cohorts", "1", "--seed", "1"
    )
    assert code == 0
    assert "sensitivity" in out


@pytest.mark.parametrize("command", sorted(cli.cli.commands))
def test_every_command_has_help(call, command):
    code, out, _ = call(command, "--help")
    assert code == 0
    assert out.startswith("Usage: ircohort")


def test_a_terminal_is_shown_the_stage_that_is_under_way(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress(("reading", "writing"), quiet=False) as tell:
        tell("reading")
        tell("writing")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "reading" in shown.err
    assert "100%" in shown.err
