"""Spellings by which columns and tests are recognised. A list, never a likeness; each entry means one thing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ircohort.units import fold


def _folded(**listed: str) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({name: tuple(fold(word) for word in words.split("|")) for name, words in listed.items()})


ALIASES = _folded(
    participant_id="participant_id|participant|patient_id|patient|subject_id|subject|person_id|person|study_id|id|SEQN"
    "|patientennummer|patienten_id|numéro_patient|id_paciente",
    visit_date="visit_date|date|collection_date|sample_date|draw_date|test_date|exam_date|date_of_visit|date_of_draw"
    "|datum|entnahmedatum|abnahmedatum|untersuchungsdatum|date_de_prélèvement|date_prélèvement|fecha|fecha_de_extracción",
    day="day|study_day|day_offset|days_since_baseline",
    year="years|year_offset|years_since_baseline",
    birth_date="birth_date|date_of_birth|dob|geburtsdatum|date_de_naissance|fecha_de_nacimiento",
    birth_year="birth_year|year_of_birth|yob|geburtsjahr",
    age="age|age_years|age_at_visit|alter|âge|edad|RIDAGEYR",
    sex="sex|gender|geschlecht|sexe|sexo|RIAGENDR",
    glucose="glucose|fasting_glucose|fasting_plasma_glucose|plasma_glucose|serum_glucose|fpg|fbg|fbs|glu|gluc|glu_f"
    "|fasting_blood_glucose|fasting_blood_sugar|fasting_glu|fasting_serum_glucose|glucose_fasting|glucose_fast"
    "|glucose_serum|glucose_plasma|glukose|glucose_nüchtern|glucose_nuechtern|nüchternglukose|nuechternglukose"
    "|nüchternglucose|nuechternglucose|nüchternblutzucker|nuechternblutzucker|glycémie|glycemie|glycémie_à_jeun"
    "|glycemie_a_jeun|glucosa|glucosa_en_ayunas|glucosa_basal|glucemia|glucemia_basal|glucemia_en_ayunas"
    "|LBXGLU|LBXGLUSI|LBDGLUSI",
    insulin="insulin|fasting_insulin|serum_insulin|plasma_insulin|ins|insf|insulin_fasting|fasting_serum_insulin"
    "|fasting_plasma_insulin|insulin_serum|insulin_plasma|insulin_level|nüchterninsulin|nuechterninsulin|insuline"
    "|insuline_à_jeun|insuline_a_jeun|insulina|insulina_en_ayunas|insulina_basal|LBXIN|LBXINSI|LBDINSI",
    triglycerides="triglycerides|triglyceride|tg|trig|trigs|tgl|trigly|trigl|triglyceride_level|fasting_triglycerides"
    "|triglycerides_fasting|serum_triglycerides|triglyzeride|triglycérides|triglicéridos|trigliceridos"
    "|LBXTR|LBDTRSI|LBXTLG",
    hdl="hdl|hdl_cholesterol|hdl_c|hdl_chol|cholesterol_hdl|cholesterol_in_hdl|hdl_cholesterin|hdl_cholestérol"
    "|cholestérol_hdl|colesterol_hdl|LBDHDD|LBDHDDSI|LBXHDD|LBDHDL|LBDHDLSI",
    hba1c="hba1c|a1c|hgb_a1c|ha1c|haemoglobin_a1c|hemoglobin_a1c|glycated_haemoglobin|glycated_hemoglobin"
    "|glycohaemoglobin|glycohemoglobin|glycosylated_haemoglobin|glycosylated_hemoglobin|hämoglobin_a1c"
    "|hémoglobine_glyquée|hemoglobine_glyquee|hemoglobina_glicosilada|hemoglobina_glicada|LBXGH",
    c_peptide="c_peptide|cpep|c_peptid|peptide_c|péptido_c|peptido_c|connecting_peptide|fasting_c_peptide"
    "|c_peptide_fasting|LBXCPSI",
    bmi="bmi|body_mass_index|imc|BMXBMI",
    waist="waist|waist_circumference|waist_circ|wc|taillenumfang|bauchumfang|tour_de_taille|circunferencia_de_cintura"
    "|BMXWAIST",
    fasting="fasting|fasted|is_fasting|nüchtern|à_jeun|en_ayunas",
    fasting_hours="fasting_hours|hours_fasted|hours_fasting|PHAFSTHR",
    hours_since_exercise="hours_since_exercise|hours_since_last_exercise",
    glucose_lowering_drug="glucose_lowering_drug|glucose_lowering_treatment|diabetes_drug|diabetes_medication",
    insulin_therapy="insulin_therapy|on_insulin|insulin_treatment",
    pregnant="pregnant|pregnancy",
    ill="ill|acute_illness|acutely_ill",
    assay="assay|insulin_assay|method",
    specimen="specimen|specimen_type|sample_type",
    site="site|laboratory|lab|centre|center",
)
"""Spellings of headers and tests; case, spaces and punctuation do not count, accents do.

Not listed, for each can mean something else: blood_sugar and glucose_0 (any time, or a tolerance test), iri (also an
index of resistance), hb and ghb, cpr, taille (also body height).
"""

ALIAS_VALUES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {fold("RIAGENDR"): {"male": ("1",), "female": ("2",)}}
)
"""Headers whose codes are part of their definition (NHANES demographics documentation)."""

ALIAS_UNITS: Mapping[str, str] = MappingProxyType(
    {
        fold(header): unit
        for header, unit in {
            "LBXGLU": "mg/dL",
            "LBXGLUSI": "mmol/L",
            "LBDGLUSI": "mmol/L",
            "LBXIN": "uIU/mL",
            "LBXINSI": "pmol/L",
            "LBDINSI": "pmol/L",
            "LBXTR": "mg/dL",
            "LBXTLG": "mg/dL",
            "LBDTRSI": "mmol/L",
            "LBDHDD": "mg/dL",
            "LBXHDD": "mg/dL",
            "LBDHDL": "mg/dL",
            "LBDHDDSI": "mmol/L",
            "LBDHDLSI": "mmol/L",
            "LBXGH": "NGSP %",
            "LBXCPSI": "nmol/L",
            "BMXWAIST": "cm",
        }.items()
    }
)
"""Headers whose unit is part of their definition (NHANES laboratory documentation)."""

LOINC: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "2345-7": ("glucose", False),
        "14749-6": ("glucose", False),
        "1558-6": ("glucose", True),
        "14771-0": ("glucose", True),
        "20448-7": ("insulin", False),
        "14796-7": ("insulin", False),
        "27873-9": ("insulin", True),
        "59179-2": ("insulin", True),
        "2571-8": ("triglycerides", False),
        "14927-8": ("triglycerides", False),
        "3048-6": ("triglycerides", True),
        "2085-9": ("hdl", False),
        "14646-4": ("hdl", False),
        "4548-4": ("hba1c", False),
        "17856-6": ("hba1c", False),
        "17855-8": ("hba1c", False),
        "4549-2": ("hba1c", False),
        "59261-8": ("hba1c", False),
        "1986-9": ("c_peptide", False),
        "13037-7": ("c_peptide", True),
        "39156-5": ("bmi", False),
        "8280-0": ("waist", False),
    }
)
"""LOINC codes of tests in serum or plasma (HbA1c: blood): the analyte, and whether the name of the code states fasting.

The unit is not part of a code. This material contains content from LOINC (http://loinc.org); see NOTICE.
"""
