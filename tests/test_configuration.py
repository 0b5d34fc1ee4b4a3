import pytest

from ircohort.configuration import Settings, draft, overlay, read_configuration, settings_from
from ircohort.errors import ConfigurationError, UnitError, UsageError
from ircohort.export import TableSpec
from ircohort.intake import read_export
from ircohort.normalisation import recognise


def refusal(said):
    with pytest.raises(ConfigurationError) as caught:
        settings_from(said)
    assert caught.value.exit_code == 3
    return str(caught.value)


def test_nothing_said_gives_the_defaults():
    assert settings_from({}) == Settings()


@pytest.mark.parametrize(
    ("said", "key", "nearest"),
    [
        ({"column": {}}, "column", "columns"),
        ({"columns": {"glucoze": "GLU"}}, "[columns] glucoze", "glucose"),
        ({"units": {"insuline": "pmol/L"}}, "[units] insuline", "insulin"),
        ({"policy": {"censor": "half"}}, "[policy] censor", "censored"),
        ({"detect": {"flag_form": 0.9}}, "[detect] flag_form", "flag_from"),
        ({"model": {"n_refit": 10}}, "[model] n_refit", "n_refits"),
        ({"tables": {"labs": {"file": ["a.csv"]}}}, "[tables.labs] file", "files"),
        ({"policy": {"cut_offs": {"homa_ir_earli": 2}}}, "[policy.cut_offs] homa_ir_earli", "homa_ir_early"),
        ({"columns": {"ill": {"column": "x", "yess": "y"}}}, "[columns.ill] yess", "yes"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_named(said, key, nearest):
    text = refusal(said)
    assert key in text
    assert f"nearest known key is {nearest}." in text


@pytest.mark.parametrize(
    "said",
    [
        {"seed": "1"},
        {"seed": -1},
        {"seed": True},
        {"columns": []},
        {"columns": {"glucose": 7}},
        {"columns": {"keep": [1]}},
        {"columns": {"constant": ["race"]}},
        {"policy": {"duplicates": "guess"}},
        {"policy": {"criteria": "ADA"}},
        {"policy": {"insulin_factor": 7}},
        {"policy": {"insulin_factor": "6"}},
        {"policy": {"cut_offs": {"homa_ir_early": "2"}}},
        {"detect": {"flag_from": "high"}},
        {"detect": {"flag_from": 1.5}},
        {"detect": {"min_visits": 2.5}},
        {"report": {"identifiers": "yes"}},
        {"tables": {"labs": {"decimal": ";"}}},
        {"tables": {"labs": {"decimal": ",", "thousands": ","}}},
        {"columns": {"glucose": {"column": "GLU", "pattern": "no group"}}},
        {"units": {"glucose": {"site": "A"}}},
        {"policy": {"as_of": "2020-01-01"}},
        {"policy": {"draw_window_days": -1}},
        {"tables": {"labs": {"encoding": 8}}},
    ],
)
def test_a_value_of_another_kind_is_refused(said):
    assert refusal(said)


def test_a_unit_that_is_not_read_is_refused():
    with pytest.raises(UnitError):
        settings_from({"units": {"glucose": "furlong"}})


def test_what_is_said_arrives():
    settings = settings_from(
        {
            "seed": 3,
            "tables": {"labs": {"files": ["a.csv"]}, "visits": {"files": "v.csv", "key": "k", "via": "people.k"}},
            "columns": {"glucose": "GLU", "ill": {"column": "e", "yes": "flu"}, "keep": ["race"], "constant": ["bmi"]},
            "units": {"glucose": "mmol/L"},
            "policy": {"insulin_factor": 6.945, "cut_offs": {"homa_ir_early": 2.5}},
            "detect": {"flag_from": 0.9},
            "model": {"n_refits": 20},
            "report": {"identifiers": True},
        }
    )
    assert settings.labs.files == ("a.csv",)
    assert settings.joined == (TableSpec("visits", ("v.csv",), key="k", via="people.k"),)
    assert settings.columns.named["ill"].values == {"yes": ("flu",)}
    assert str(settings.policy.insulin_factor) == "6.945"
    assert (settings.detect.flag_from, settings.model.n_refits, settings.seed) == (0.9, 20, 3)
    said = settings.as_dict()
    assert (said["columns"]["glucose"], said["units"]["glucose"], said["report"]["identifiers"]) == (
        "GLU",
        "mmol/L",
        True,
    )


def test_what_lies_above_wins_key_by_key():
    merged = overlay({"units": {"glucose": "mg/dL"}, "seed": 1}, {"units": {"glucose": "mmol/L"}, "columns": {}})
    assert merged == {"units": {"glucose": "mmol/L"}, "seed": 1, "columns": {}}


def test_paths_are_relative_to_the_configuration(tmp_path):
    (tmp_path / "c.toml").write_text('config = 1\n[tables.labs]\nfiles = ["labs.csv", "-", "/abs.csv"]\n')
    files = read_configuration(tmp_path / "c.toml")["tables"]["labs"]["files"]
    assert files == [str(tmp_path / "labs.csv"), "-", "/abs.csv"]


def test_a_configuration_that_is_not_there_or_not_toml_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no configuration"):
        read_configuration(tmp_path / "c.toml")
    for text in ("config = ", "seed = 1\n", "config = 2\n"):
        (tmp_path / "c.toml").write_text(text)
        with pytest.raises(ConfigurationError):
            read_configuration(tmp_path / "c.toml")


def test_a_draft_is_a_configuration_once_its_questions_are_answered(tmp_path):
    path = tmp_path / "labs.csv"
    path.write_text('id,date,glucose,insulin (pmol/L),odd "name"\na,2020-01-01,95,60,1\n')
    settings = settings_from({"tables": {"labs": {"files": [str(path)]}}})
    export = read_export(settings.labs)
    text = draft(recognise(export, settings.columns), settings, tmp_path)
    assert "# glucose = ?" in text
    answered = text.replace("# glucose = ?", 'glucose = "mg/dL"')
    (tmp_path / "cohort.toml").write_text(answered)
    again = settings_from(read_configuration(tmp_path / "cohort.toml"))
    assert not recognise(read_export(again.labs), again.columns).questions
    assert again.columns.named["insulin"].header == "insulin (pmol/L)"


def test_a_draft_has_a_line_for_each_column_that_is_needed_and_was_not_recognised(tmp_path):
    path = tmp_path / "labs.csv"
    path.write_text("key,years,birth_date,glucose (mg/dL)\na,2,1960-01-01,95\n")
    settings = settings_from({"tables": {"labs": {"files": [str(path)]}}})
    text = draft(recognise(read_export(settings.labs), settings.columns), settings, tmp_path)
    lines = [line.split(" = ")[0] for line in text.split("\n") if "# not recognised" in line]
    assert lines == [f"# {name}" for name in ("participant_id", "sex", "insulin", "triglycerides", "hdl", "fasting")]
    (tmp_path / "cohort.toml").write_text(text.replace('# participant_id = "HEADER"', 'participant_id = "key"'))
    again = settings_from(read_configuration(tmp_path / "cohort.toml"))
    assert not recognise(read_export(again.labs), again.columns).questions


def test_a_draft_keeps_what_was_said(tmp_path):
    (tmp_path / "labs.csv").write_text("k,glucose (mg/dL),e,race\nv1,95,flu,x\n")
    (tmp_path / "visits.csv").write_text("k,id,day\nv1,a,1\n")
    said = {
        "seed": 4,
        "tables": {
            "labs": {"files": [str(tmp_path / "labs.csv")], "missing": ["", "n.d."]},
            "visits": {"files": [str(tmp_path / "visits.csv")], "key": "k"},
        },
        "columns": {"participant_id": "visits.id", "ill": {"column": "e", "yes": ["flu"]}, "keep": ["race"]},
        "policy": {"insulin_factor": 6.945, "cut_offs": {"homa_ir_early": 2.5}},
        "detect": {"flag_from": 0.9},
    }
    settings = settings_from(said)
    export = read_export(settings.labs, settings.joined)
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "cohort.toml"
    path.write_text(draft(recognise(export, settings.columns), settings, path.parent))
    again = settings_from(read_configuration(path))
    assert read_export(again.labs, again.joined).labs.frame.equals(export.labs.frame)
    assert (again.policy, again.detect, again.seed) == (settings.policy, settings.detect, 4)
    assert again.columns.named["ill"] == settings.columns.named["ill"]
    assert again.columns.keep == ("race",)


def test_a_time_named_above_replaces_another_kind_below():
    merged = overlay({"columns": {"day": "d", "glucose": "g"}}, {"columns": {"visit_date": "date"}})
    assert merged["columns"] == {"glucose": "g", "visit_date": "date"}


def test_the_gate_on_glucose_follows_the_criteria_unless_it_is_stated():
    assert settings_from({}).detect.glucose_cut_off_mg_dl == 100
    who = settings_from({"policy": {"criteria": "who"}, "model": {"glucose_cut_off_mg_dl": 105}})
    assert (who.detect.glucose_cut_off_mg_dl, who.model.glucose_cut_off_mg_dl) == (110, 105)
    own = settings_from({"policy": {"cut_offs": {"ada_glucose_prediabetes": 95}}})
    assert own.detect.glucose_cut_off_mg_dl == 95


@pytest.mark.parametrize("said", [{"columns": "x"}, {"units": 5}, {"tables": {"labs": "x"}}])
def test_what_should_be_a_table_of_keys_is_not_replaced_in_silence(said):
    with pytest.raises(ConfigurationError):
        settings_from(overlay(said, {"columns": {}, "units": {}, "tables": {"labs": {}}}))


@pytest.mark.parametrize("form", ["%d/%m/%d", "%Y", "day", "%"])
def test_a_date_format_that_gives_no_day_is_refused(form):
    assert "date_format" in refusal({"columns": {"date_format": form}})
