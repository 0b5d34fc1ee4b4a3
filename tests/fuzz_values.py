"""What the fuzzer puts in: cells, headers, bytes, encodings, and the keys and values of a configuration."""

from ircohort.units import ANALYTES

CANARY_VALUE, CANARY_PERSON = "98765.4321", "Canaria Secreta"
"""Planted as a result and as an identifier: neither may stand in a message."""

TOKENS = (
    "", " ", "\0", '"', '""', '"""', "'", ",", ";", "\t", "|", "\r", "\n", "\r\n", "\ufeff", "\u200b", "\u2028",
    "\x1a", "1e999", "-1e999", "1e99", "1e-99", "-0", "0", "-5", "inf", "-inf", "nan", "NaN", "None", "NA", "n.d.",
    "-", ".", "１２", "٩٥", "९५", "²", "½", "1_000", "1,5", "1.234,5", "1 234", "1'234", "0x1F", "1e5", "+5", "--5",
    "5.", ".5", "1e", "<", "<5", "< 5", "<=5", "≤5", ">1000", "<<5", "<-5", "<0", "<0.0", "<1e99", "=5", "5 mg/dL",
    "95H", "99999999999999999999", "0." + "0" * 400 + "1", "9" * 400, "9" * 5000, "x" * 70000, "=1+1",
    "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "2020-01-01", "2020-02-30", "0000-00-00", "9999-12-31",
    "-2020-01-01", "2020-01-01T25:00", "2020-01-01T10:00:00+99:99", "01/02/2020", "31.12.2020", "20200101", "43831",
    "999999", "1e9", "12:30", "2020-W01", "yes", "no", "TRUE", "maybe", "F", "m", "mg/dL", "mmol/L", "pmol/L", "%",
    "mmol/mol", "uIU/mL", "µU/mL", "kg", "glucose", "insulin", "Glucose (mg/dL)", "HDL", "2345-7", "001", "1.0",
    "Zoë", "é", "İ", "ß", "😀", "\U0010ffff", "e\u0301", "\u202e", "a\0b", "$(id)", "{0}", "%s", "%d", "{{7*7}}",
    "\\", "\\n", "../x", "nul", "our:sex", "source_file", "row", "visit", "participant_id", "our:participant", "#",
    "analyte", "value",
)  # fmt: skip
HEADERS = (
    "id", "date", "day", "years", "glucose", "FPG", "Glucose (mg/dL)", "glucose [mmol/L]", "glucose_unit",
    "Glucose Units", "insulin", "insulin (pmol/L)", "INSF", "tg", "tg (mg/dL)", "hdl", "hdl (kg)", "hba1c (%)",
    "hba1c", "bmi", "waist (in)", "c_peptide (nmol/L)", "age", "sex", "birth_date", "birth_year", "fasting",
    "fasting_hours", "hours_since_exercise", "pregnant", "ill", "assay", "specimen", "site", "insulin_therapy",
    "glucose_lowering_drug", "LBXGLU", "SEQN", "RIDAGEYR", "person_id", "measurement_concept_id", "measurement_date",
    "value_as_number", "unit_concept_id", "PATIENT", "CODE", "DATE", "VALUE", "UNITS", "source_file", "source_row",
    "row", "visit", "rule", "outcome", "column 1", "people.sex", "labs.glucose", "", " ", "(", "[mg/dL]",
)  # fmt: skip
BYTES = (
    b"\0", b"\0\0\0\0", b"\xff", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5",
    b"\x80", b'"', b"'", b"\r", b"\n", b"\r\n", b"\n\n\n", b",", b";", b"\t", b"|", b"\x1a", b"\x1f\x8b",
    b"PK\x03\x04", b"PK\x05\x06", b"PAR1", b"sep=;\n", b"\xe2\x80\xa8", b"\x85", b"\x0b", b"\x0c", b"#", b"\\",
    b'"\n"', b'","', b'"x"y', b"a" * 9000,
)  # fmt: skip
ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1252",
    "cp037",
    "utf-7",
    "shift_jis",
)
ENCODING_NAMES = (
    *ENCODINGS,
    "ascii",
    "UTF8",
    "hex",
    "zlib",
    "rot13",
    "undefined",
    "idna",
    "punycode",
    "raw_unicode_escape",
    "mbcs",
    "x",
)
NAMES = (
    "participant_id", "visit_date", "day", "year", "sex", "age", "birth_date", "birth_year", *ANALYTES, "fasting",
    "fasting_hours", "hours_since_exercise", "glucose_lowering_drug", "insulin_therapy", "pregnant", "ill", "assay",
    "specimen", "site",
)  # fmt: skip
UNITS = (
    "mg/dL",
    "mmol/L",
    "uIU/mL",
    "pmol/L",
    "%",
    "mmol/mol",
    "JDS %",
    "ng/mL",
    "nmol/L",
    "kg/m2",
    "cm",
    "in",
    "MG/DL",
    "mg",
    "",
)
DATE_FORMS = (
    "%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d%m%Y", "%Y%m%d", "%d-%b-%Y", "%y-%m-%d", "%Y-%j", "%G-W%V-%u",
    "%s", "%c", "%x", "%D", "%F", "%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %Z", "%Y-%m-%d %p", "excel",
    "excel-1904", "EXCEL", "%", "%%", "%q", "%-d/%-m/%Y", "%Y", "", "d/m/y", "%Y-%m-%d%Y", "%f", "%Y-%m-%d\0",
    "%Y-%m-%d" * 60, "%Y-%m-%d%", "%:z %Y-%m-%d", "%Y-%m-%d %#z",
)  # fmt: skip
PATTERNS = (
    "(.*)", "(.+)", "([0-9.]+).*", "([0-9.]+) ?[HL]?", "[^-]+-(.*)", "([^-]+)-.*", "(a+)+$", "(x|x)*", "((a))", "(",
    ")", "(?P<x>.*)", "(?=a)(b)", "(?<!a)(b)", "(.)\\1", "(.*){1000}", "((.*){100}){100}", "(?:.*)", "()", "(\\",
    "(.*)|x", "^(.*)$", "(?i)(.*)", "(?s).(.*)", "([\\p{L}]+)", "(\\d{4,999999})", "(" * 300 + "a" + ")" * 300,
    "(\\x{110000})", "[[:alpha:]]([)]", "(?x) ( . * ) # c", "(.*)\n", "",
)  # fmt: skip
TOML_VALUES = (
    "1", "-1", "0", "1.5", "1e308", "inf", "-inf", "nan", "99999999999999999999", "9223372036854775808", "true",
    "false", '""', '"x"', '" "', '"\\u0000"', '"."', '","', '" "', "\"'\"", '";"', '"\\t"', '"\\""', '"::"', '"é"',
    "[]", '[""]', '["x", "x"]', '["a", 1]', "[[]]", "{}", '{ x = "y" }', "{ column = 1 }", '{ column = "id" }',
    '{ column = "glucose", pattern = "(.*)" }', '{ pattern = "(.*)" }', '{ file = {} }',
    '{ year = { "2020" = "mg/dL" } }', '{ file = { "labs.csv" = "mmol/L" } }',
    '{ column = "site", units = { A = "mg/dL" } }', '{ column = "x", units = [] }', '{ year = { x = 1 } }',
    "2020-01-01", "1800-01-01", "9999-12-31", "2020-01-01T00:00:00", "2020-01-01T00:00:00Z", "12:00:00",
    '"2020-01-01"', "0x1F", "1_000", "'''a\nb'''", '"id"', '"glucose"', '"labs.csv"', '"*"', '"."', '"*.csv"',
    '"absent.csv"', '"-"', '["labs.csv", "labs.csv"]', '"utf-16"', '"latin-1"', '"first"', '"mean"', '"reject"',
    '"half"', '"bounds"', '"drop"', '"who"', '"ada"', "6.945", "6.0", "365", "100000000", '["glucose"]', '["bmi"]',
)  # fmt: skip
ODD_PATHS = (".", "*.csv", "a\0b", "x" * 300, "", "-")
TABLES = ("people", "visits", "person", "a.b", "labs", "")
KEYS = {
    "": ("seed", "config", "unknown", '"a b"'),
    "tables.labs": (
        "files", "key", "via", "missing", "encoding", "delimiter", "decimal", "thousands", "sheet", "name", "wrong",
    ),
    "tables.people": ("files", "key", "via", "missing", "encoding", "decimal", "sheet"),
    'tables."a.b c"': ("files", "key"),
    "columns": (*NAMES, "keep", "constant", "date_format", "glucoze"),
    "units": (*ANALYTES, "sex"),
    "long": ("test", "value", "unit", "sign", "name"),
    "policy": (
        "duplicates", "censored", "insulin_factor", "criteria", "cut_offs", "draw_window_days", "as_of", "trust_units",
        "other",
    ),
    "policy.cut_offs": ("homa_ir_early", "ada_glucose_prediabetes", "who_glucose_prediabetes", "x"),
    "detect": ("min_rise", "glucose_cut_off_mg_dl", "x"),
    "report": ("identifiers",),
}  # fmt: skip
