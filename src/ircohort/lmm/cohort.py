"""The sums of a cohort, made in one piece or in many that are added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ircohort.errors import ColumnError, ModelError, UsageError
from ircohort.frames import to_polars
from ircohort.lmm.design import Basis, Design, build_design
from ircohort.lmm.formula import parse_formula
from ircohort.lmm.identification import require_columns, require_few_effects
from ircohort.lmm.sums import ParticipantSums, Scaling, participant_sums, scaling_of
from ircohort.parallel import on_one_blas_thread

Floats = NDArray[np.float64]

WEIGHTS = ("frequency", "sampling")


@dataclass(frozen=True, eq=False)
class Plan:
    """What all pieces of a cohort have in common: the basis of the columns, and their scaling.

    ``weights``: the column that says how often a participant counts (else empty), and ``weights_kind`` what that
    means: ``frequency`` (so many participants are alike) or ``sampling`` (a participant stands for so many).
    """

    basis: Basis
    scaling: Scaling = field(repr=False)
    weights: str = ""
    weights_kind: str = ""

    @cached_property
    def key(self) -> str:
        """What tells plans apart, in another process too: a hash of all that the sums depend on."""
        scaling = (self.scaling.fixed, self.scaling.random, self.scaling.offset)
        names = (
            self.basis.formula.text,
            self.basis.fixed_names,
            self.basis.random_names,
            self.weights,
            self.weights_kind,
        )
        return sha256(repr(names).encode() + b"".join(part.tobytes() for part in scaling)).hexdigest()


@dataclass(frozen=True, eq=False)
class CohortSums:
    """The sums of some of a cohort's visits. Add them: the order does not matter beyond rounding.

    ``participant_ids`` (n,), sorted, are those of ``sums``; ``dropped`` as in :class:`ircohort.lmm.Fit`, where a
    participant with visits in several pieces counts once in each; ``rows`` the complete rows, if it is one piece.
    """

    plan: Plan = field(repr=False)
    participant_ids: pl.Series = field(repr=False)
    sums: ParticipantSums = field(repr=False)
    dropped: Mapping[str, Mapping[str, int]]
    rows: pl.DataFrame | None = field(default=None, repr=False)

    def __add__(self, other: CohortSums) -> CohortSums:
        """Add the sums of other visits, of the same or of other participants."""
        if other.plan.key != self.plan.key:
            raise UsageError(
                "Sums of two plans cannot be added.", expected="All pieces are summed up with one plan of `prepare`."
            )
        if self.participant_ids.dtype != other.participant_ids.dtype:
            raise ColumnError(
                f"The participants are {self.participant_ids.dtype} in one piece and {other.participant_ids.dtype} in "
                "another.",
                next_step="Give the column one type in all pieces.",
            )
        together = pl.concat([self.participant_ids, other.participant_ids])
        ids = together.unique().sort()
        place = pl.DataFrame({"id": together}).join(
            pl.DataFrame({"id": ids}).with_row_index("place"), on="id", how="left", maintain_order="left"
        )["place"]
        sums = _added(self.sums, other.sums, place.to_numpy(), len(ids))
        return CohortSums(self.plan, ids, sums, _dropped(self.dropped, other.dropped))


def prepare(formula: str, frame: Any, *, weights: str = "", weights_kind: str = "") -> Plan:
    """Read knots, means, levels and scales from a table, for all the pieces that will be summed up.

    Parameters
    ----------
    formula
        As for :func:`ircohort.lmm.fit`.
    frame
        pandas or polars: a part of the cohort in which every level occurs and every column varies. Terms that depend
        on the data (``bs``, ``cr``, ``poly``, ``center``, ``scale``) take it as their data.
    weights, weights_kind
        As for :func:`ircohort.lmm.fit`.

    Examples
    --------
    >>> visits = pl.DataFrame({"participant_id": ["a", "a", "b", "b"], "years": [0.0, 1.0, 0.0, 2.0],
    ...                        "y": [1.0, 2.0, 1.5, 1.0]})
    >>> plan = prepare("y ~ years + (1 | participant_id)", visits)
    >>> pieces = [sum_up(plan, visits[:3]), sum_up(plan, visits[3:])]
    >>> (pieces[0] + pieces[1]).sums.visits.tolist()
    [2, 2]
    """
    return plan_of(build_design(parse_formula(formula), to_polars(frame), weights=weights), weights, weights_kind)


def plan_of(design: Design, weights: str, weights_kind: str) -> Plan:
    """Make the plan of a design, after a look whether its columns can be told apart."""
    if bool(weights) != bool(weights_kind) or (weights_kind and weights_kind not in WEIGHTS):
        raise UsageError(
            f"The kind of the weights is {weights_kind!r}.",
            expected=f"With a column of weights, weights_kind is one of {', '.join(WEIGHTS)}.",
        )
    require_columns(design)
    require_few_effects(design.basis.random_names)
    scaling = scaling_of(design.y, design.X, design.Z, diagonal=design.basis.formula.diagonal)
    return Plan(design.basis, scaling, weights, weights_kind)


def sum_up(plan: Plan, frame: Any) -> CohortSums:
    """Add up the visits of a table, with the knots, levels and scales of the plan.

    Raises
    ------
    ColumnError
        If a column is absent, or holds a level that the plan has not seen.
    ModelError
        If no row is complete.
    """
    design = build_design(plan.basis.formula, to_polars(frame), basis=plan.basis, weights=plan.weights)
    return sums_of(design, plan)


@on_one_blas_thread
def sums_of(design: Design, plan: Plan) -> CohortSums:
    """Add up the rows of a design."""
    weights = design.weights
    if weights is not None:
        _require_weights(weights, plan)
    sums = participant_sums(design.y, design.X, design.Z, design.starts, plan.scaling, weights)
    return CohortSums(plan, design.participant_ids, sums, design.dropped, design.rows)


def _require_weights(weights: Any, plan: Plan) -> None:
    whole = plan.weights_kind == "frequency"
    wrong = int(((weights <= 0) | (whole & (weights % 1 != 0))).sum())
    if wrong:
        raise ModelError(
            f"Column {plan.weights} holds no {plan.weights_kind} weight for {wrong} participants.",
            expected="A frequency is a whole number above zero." if whole else "A sampling weight is above zero.",
        )


def _added(first: ParticipantSums, second: ParticipantSums, place: Any, n: int) -> ParticipantSums:
    visits = np.zeros(n, dtype=np.int64)
    cross = np.zeros((n, *first.cross.shape[1:]))
    weights = None if first.weights is None else np.zeros(n)
    start = 0
    for one in (first, second):
        at = place[start : start + len(one.visits)]
        visits[at] += one.visits
        cross[at] += one.cross
        if weights is not None:
            _require_same_weights(weights[at], one.multiplicity)
            weights[at] = one.weights
        start += len(one.visits)
    return ParticipantSums(visits, cross, first.q, weights)


def _require_same_weights(known: Floats, weights: Floats) -> None:
    differing = int(((known > 0) & (known != weights)).sum())
    if differing:
        raise ModelError(
            f"{differing} participants have another weight in one piece than in another.",
            expected="Weights are those of participants: the same at each of their visits.",
        )


def _dropped(
    first: Mapping[str, Mapping[str, int]], second: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    names = sorted(first.keys() | second.keys(), key=lambda name: (name == "any", name))
    counts = {name: (first.get(name, {}), second.get(name, {})) for name in names}
    return {
        name: {kind: one.get(kind, 0) + two.get(kind, 0) for kind in one.keys() | two.keys()}
        for name, (one, two) in counts.items()
    }
