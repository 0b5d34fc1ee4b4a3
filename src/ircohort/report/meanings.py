"""What words and files of the report mean."""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "homa_ir": "HOMA-IR",
    "tg_hdl_mg": "TG:HDL",
    "tg_hdl": "TG:HDL",
    "insulin": "insulin",
    "glucose": "glucose",
    "glucose_mg_dl": "fasting glucose",
    "hidden_window": "hidden window",
    "not_shown": "not shown",
    "not_assessable": "not assessable",
    "start_of_follow_up": "start",
    "end_of_follow_up": "end",
    "break_in_series": "break",
    "hdl": "HDL",
    "hba1c": "HbA1c",
    "bmi": "BMI",
    "c_peptide": "C-peptide",
}
VERDICT_MEANING: Mapping[str, str] = {
    "hidden_window": "flagged",
    "possible": "more likely than not, but not sure enough for a flag",
    "not_shown": "less likely than not; a window may have been missed",
    "not_assessable": "the data cannot tell",
}
COURSE_MEANING: Mapping[str, str] = {
    "rising": "the marker rises, the mean trend of the cohort included: no finding by itself",
    "falling": "the marker falls",
    "recovered": "the marker rose, and fell again",
    "relapsed": "the marker fell, and rose again",
    "steady": "no direction is shown",
    "compensating": "insulin and HOMA-%B rise, fitted glucose is normal at the last visit used",
    "failing": "HOMA-%B falls while glucose rises, fitted glucose still normal at the last visit used",
}
FILES: Mapping[str, str] = {
    "visits.parquet, visits.csv": "every visit, cleaned, with its markers",
    "participants.csv": "every participant: verdict, reason, estimates, and the number used on this page",
    "windows.csv": "every dated window",
    "states/": "how states follow each other: transitions, person-years, recovery, persistence, secretion",
    "rejected.csv": "every rejected cell with its line and the reason",
    "model/": "the models of the cohort: fixed and random effects, curves, onset, other choices, people by year",
    "figures/": "the figures, as PNG and SVG",
    "manifest.json": "inputs with their SHA-256, the ledger, all settings, versions and the seed",
}
