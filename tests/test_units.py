from decimal import Decimal

import pytest

from ircohort.errors import UnitError
from ircohort.layouts import LAB_LAYOUTS
from ircohort.normalisation.aliases import ALIASES, LOINC
from ircohort.units import ANALYTES, INSULIN_PMOL_PER_UIU_OLD, conversion, fold


@pytest.mark.parametrize(
    ("analyte", "unit", "value", "canonical"),
    [
        # NHANES 2017-2018 prints 0.05551, 0.01129, 0.02586 mmol/L per mg/dL and 6.00 pmol per uIU.
        ("glucose", "mmol/L", "5.0", 5.0 / 0.05551),
        ("triglycerides", "mmol/L", "1.0", 1.0 / 0.01129),
        ("hdl", "mmol/L", "1.0", 1.0 / 0.02586),
        ("insulin", "pmol/L", "60", 10.0),
    ],
)
def test_factors_agree_with_those_printed_by_nhanes(analyte, unit, value, canonical):
    assert float(conversion(analyte, unit).apply(Decimal(value))) == pytest.approx(canonical, rel=2e-4)


def test_the_molar_mass_of_glucose_gives_its_factor():
    carbon, hydrogen, oxygen = 12.011, 1.008, 15.999  # IUPAC standard atomic weights
    mass = 6 * carbon + 12 * hydrogen + 6 * oxygen
    assert float(conversion("glucose", "mmol/L").scale) == pytest.approx(mass / 10, abs=5e-4)


def test_the_old_insulin_factor_is_there_on_request():
    assert float(conversion("insulin", "pM", insulin_factor=INSULIN_PMOL_PER_UIU_OLD).apply(Decimal("69.45"))) == 10.0


def test_jds_goes_to_ngsp_by_the_ifcc_master_equations():
    # IFCC = 10.79 JDS - 18.7 and NGSP = 0.0915 IFCC + 2.15 (ifcchba1c.org): JDS 6.1 is NGSP 6.46.
    assert float(conversion("hba1c", "JDS %").apply(Decimal("6.1"))) == pytest.approx(6.46, abs=0.005)


@pytest.mark.parametrize("spelling", ["uIU/mL", "µIU/mL", "μU/ml", "mIU/L", "mU/l", "UIU/ML", "uIU / mL"])
def test_spellings_of_a_unit_are_folded(spelling):
    assert conversion("insulin", spelling).unit == "uIU/mL"


def test_glucose_in_mmol_is_recognised_whatever_its_case():
    # iglu decides by searching for "mmol/l" with that case, and takes "mmol/L" for mg/dL.
    assert conversion("glucose", "MMOL/L").unit == conversion("glucose", "mmol/l").unit == "mmol/L"


@pytest.mark.parametrize("unit", ["", "g/dL", "mg", "mg/dL fasting"])
def test_an_unlisted_unit_is_refused_with_those_that_are_read(unit):
    with pytest.raises(UnitError, match=r"mg/dL, mmol/L") as refusal:
        conversion("glucose", unit)
    assert refusal.value.exit_code == 3


def test_every_factor_but_the_canonical_one_names_its_source():
    for analyte in ANALYTES.values():
        assert analyte.conversions[0].scale == 1
        assert all(entry.source for entry in analyte.conversions[1:])


def test_every_loinc_code_has_its_check_digit():
    # The last digit is the mod-10 check digit of the others, as in a credit card number (LOINC Users' Guide).
    for code in LOINC:
        digits, check = code.split("-")
        doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
        assert (-sum(number // 10 + number % 10 for number in doubled)) % 10 == int(check), code


def test_a_spelling_stands_for_one_thing():
    listed = [word for words in ALIASES.values() for word in words]
    assert len(listed) == len(set(listed))


def test_every_concept_of_a_layout_stands_for_a_code_and_a_unit_that_are_read():
    for layout in LAB_LAYOUTS:
        assert set(layout.tests.values()) <= set(LOINC)
        for unit in layout.units.values():
            assert any(fold(unit) in analyte.spellings for analyte in ANALYTES.values()), unit
