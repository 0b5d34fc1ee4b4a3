"""Two populations fitted to published figures; how well is in ``benchmarks/presets.md``.

``japan``: Sagesaka 2018, J Endocr Soc 2:476, doi:10.1210/js.2018-00071, fitted by ``python benchmarks/presets.py fit
japan``. ``us``: NHANES 2017-18, fasting subsample, by sex and age, fitted by ``python benchmarks/presets.py fit us``.
The level above which glucose harms the beta cell is set higher in ``us``, where set-points are; it was not fitted.
"""

from __future__ import annotations

from ircohort.simulation.population import Effect, Population

JAPAN = Population(
    bmi_median=22.3,
    set_point_mean=92.3,
    set_point_sd=4.27,
    toxic_level_mean=120.0,
    reserve_median=1.9,
    triglycerides_log_level=4.39,
)

US = Population(
    bmi_median=27.95,
    bmi_log_sd=0.1935,
    sensitivity_median=0.7877,
    sensitivity_log_sd=0.5125,
    set_point_mean=102.9,
    set_point_sd=6.102,
    set_point_by_sensitivity=-4.957,
    toxic_level_mean=130.0,
    triglycerides_log_level=4.735,
    triglycerides_log_slope=0.23,
    triglycerides_log_bmi=0.04899,
    triglycerides_between_sd=0.3756,
    hdl_log_level=3.893,
    hdl_log_slope=-0.1174,
    hdl_log_bmi=-0.1949,
    hdl_between_sd=0.2156,
    lipids_correlation=-0.502,
    set_point=Effect(women=-2.9, per_year=0.162, per_year_women=0.0105),
    bmi=Effect(women=0.000749, per_year=0.000888, per_year_women=-0.00103),
    bmi_spread=Effect(women=0.165, per_year=-0.00793, per_year_women=0.000169),
    sensitivity=Effect(women=0.126, per_year=-0.00591, per_year_women=0.00597),
    triglycerides=Effect(women=-0.115, per_year=-0.000314, per_year_women=0.00308),
    triglycerides_spread=Effect(women=-0.0504, per_year=-0.0102, per_year_women=0.00196),
    hdl=Effect(women=0.177, per_year=0.00305, per_year_women=-0.000138),
)
