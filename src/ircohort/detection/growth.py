"""How rich the population may be: components are added, and straightened, while the data support it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ircohort.detection.climbing import Pull, climb
from ircohort.detection.curves import BEND, TREND
from ircohort.detection.population import Population, evidence, log_likelihoods, marker_bend, posteriors
from ircohort.detection.sums import Sums

Floats = NDArray[np.float64]

MAX_COMPONENTS = 4
"""Components of the population, at most."""

SERIES_PER_COMPONENT = 60
"""Series that each of them takes."""

AS_GOOD = 6.0
"""Populations whose Akaike criterion lies within this of the best one are averaged over."""

TOLD_APART = 3.0
"""Standard errors by which one component must foretell better than one that spreads upwards, or both are kept."""

_START_SERIES, _FEWEST_STARTS, _MOST_STARTS = 6_000, 3, 10  # in small cohorts: as many starts as hold so many series
_SHORT_CYCLES = 6  # after which the start that is furthest climbs on
_CYCLES = 40
_FURTHER_CYCLES = 16  # from a fit that differs in the straightness of one component, or in the series
_LAST_CYCLES = 48  # with everyone; 16 leave 50 to 90 of log likelihood among 20,000 series
_REFIT_CYCLES, _FEWEST_REFIT_CYCLES, _REFIT_SERIES = 12, 4, 48_000
_Z_PEOPLE = 30.0  # what the lognormal of z is worth where z is learned
_Z_PEOPLE_OPEN = 300.0  # the same where readings leave open how trends spread
_TAIL_SHARE = 0.8  # of the SD of the marker's trend, with which a tail begins
_SHARP_SHARE = 0.975  # the same where it may spread upwards only; with 1 covariances could not be inverted
_COMMON_SHARE = 0.3  # of the common covariance, towards which components are pulled


def single(sums: Sums) -> Population:
    """Fit one component without a tail: where every fit begins."""
    d, q = sums.axes.size, len(sums.axes.outcomes)
    start = Population(
        weights=np.ones(1),
        centre=np.zeros((1, d)),
        tail=np.zeros((1, d)),
        covariance=0.5 * np.eye(d)[None],
        residual=0.4 * np.eye(q),
        straight=np.zeros(1, dtype=bool),
    )
    return climb(start, sums, _CYCLES)


def grow(
    common: Population, sums: Sums, seed: int, everyone: Sums | None = None, *, tied: bool = False
) -> tuple[Population, ...]:
    """Fit populations of growing richness, and give those that the data support, best first.

    A further component enters while Akaike's criterion improves, and a marker bends where it does. Where ``sums`` are
    those of a part of the cohort, populations climb on with ``everyone``, who decide between them, take those that are
    supported further up, and shape z. A second component climbs slowly: part of the way up it is refused where it would
    be let stand in the end (``benchmarks/second_component.md``). So everyone asks for it there, and for others before.
    With ``tied``, as small cohorts need it, components may share their covariance: see :func:`_enriched`.
    """
    most = min(MAX_COMPONENTS, max(1, sums.n // SERIES_PER_COMPONENT))
    pull = pull_of(common)
    if everyone is None:
        return _enriched(range(1, most + 1), common, sums, seed, pull, tied=tied)
    free = pull_of(common, _Z_PEOPLE)
    ways = [components for components in (range(1, 2), range(2, most + 1)) if components]
    supported = [fit for way in ways for fit in _enriched(way, common, sums, seed, pull, everyone, tied=tied)]
    return _supported([climb(fit, everyone, _LAST_CYCLES, pull=free) for fit in supported])


def _enriched(
    counts: range, common: Population, sums: Sums, seed: int, pull: Pull, everyone: Sums | None = None, *, tied: bool
) -> tuple[Population, ...]:
    """Fit populations with so many components, while the next count improves; let the best bend; give the supported.

    With ``tied`` components may share their covariance: 1,000 people often support a second component, but not a
    covariance of its own. It also hangs on the start on which summit their climbs end, so there are several. So far
    nobody's marker bends. In the best of these populations every component is then let bend, and the largest are made
    straight again, one after the other, while the criterion improves: a marker bends where the data ask for it. With
    ``everyone``, who decide, a bend must be supported by ``sums`` as well.

    Source
    ------
    Fraley and Raftery 2002, J Am Stat Assoc 97:611, doi:10.1198/016214502760047131 (models of shared and own
    covariances, chosen by a criterion; theirs is Schwarz's). Biernacki, Celeux and Govaert 2003, Comput Stat Data Anal
    41:561, doi:10.1016/S0167-9473(02)00163-9 (short climbs from several starts).
    """

    def settled(population: Population) -> Population:
        return population if everyone is None else climb(population, everyone, _FURTHER_CYCLES, pull=pull)

    grown: list[Population] = []
    found: list[Population] = []
    for k in counts:
        starts = _tied_and_not(common, sums, k, seed, pull) if tied and k > 1 else [_start(common, sums, k, [seed, k])]
        fits = [climb(start, sums, _CYCLES, pull=pull) for start in starts]
        before = min((fit.criterion for fit in found), default=np.inf)
        grown += fits
        found += [settled(fit) for fit in fits]
        if min(fit.criterion for fit in found) == before:
            break
    if marker_bend(sums) is not None:
        straight = grown[int(np.argmin([fit.criterion for fit in found]))]
        bending = _supported([straight, *_bending(straight, sums, pull)])
        found += [settled(fit) for fit in bending if fit is not straight]
    return _supported(found)


def _supported(found: list[Population]) -> tuple[Population, ...]:
    ranked = sorted(found, key=lambda fit: fit.criterion)
    return tuple(fit for fit in ranked if fit.criterion <= ranked[0].criterion + AS_GOOD)


def pull_of(common: Population, z_people: float = np.inf) -> Pull:
    """Give the pull of components towards a share of the common covariance, and that of z."""
    return Pull(_COMMON_SHARE * common.covariance[0], z_people=z_people)


def _bending(straight: Population, sums: Sums, pull: Pull) -> list[Population]:
    """Let the marker bend in all components, then in fewer and fewer of them."""
    fits = [climb(_bent(straight, 0, pull), sums, _FURTHER_CYCLES, pull=pull)]
    if straight.tied:
        return fits
    for k in np.argsort(-fits[0].weights, kind="stable")[:-1]:
        fewer = fits[-1].straight.copy()
        fewer[k] = True
        fits.append(climb(replace(fits[-1], straight=fewer), sums, _FURTHER_CYCLES, pull=pull))
        if fits[-1].criterion > fits[-2].criterion:
            break
    return fits


def _bent(population: Population, n_straight: int, pull: Pull) -> Population:
    """Let the marker bend in all components but the largest ones."""
    covariance, straight = population.covariance.copy(), np.zeros(population.components, dtype=bool)
    covariance[:, BEND, BEND] = pull.towards[BEND, BEND]
    straight[np.argsort(-population.weights, kind="stable")[:n_straight]] = True
    return replace(population, covariance=covariance, straight=straight)


def _tied_and_not(common: Population, sums: Sums, k: int, seed: int, pull: Pull) -> list[Population]:
    """Begin several times with a shared covariance; give the one that climbs furthest, and its start without."""
    count = int(np.clip(_START_SERIES // sums.n, _FEWEST_STARTS, _MOST_STARTS))
    starts = [_start(common, sums, k, [seed, k, number]) for number in range(count)]
    begun = [climb(replace(start, tied=True), sums, _SHORT_CYCLES, pull=pull) for start in starts]
    furthest = int(np.argmax([fit.log_likelihood for fit in begun]))
    return [begun[furthest], starts[furthest]]


def _start(common: Population, sums: Sums, k: int, seed: list[int]) -> Population:
    """Divide draws of everybody's course into ``k`` clusters, and give each a tail along the marker's trend."""
    straight = np.full(k, marker_bend(sums) is not None)
    if k == 1:
        return _with_tails(replace(common, straight=straight), _TAIL_SHARE)
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    drawn = _draw(common, sums, rng)
    whitened = np.linalg.solve(np.linalg.cholesky(np.cov(drawn)), drawn - drawn.mean(axis=1, keepdims=True))
    _, label = kmeans2(whitened.T, k, minit="++", rng=rng)
    counts = np.bincount(label, minlength=k)
    means = [drawn[:, label == j].mean(axis=1) if counts[j] else common.mean for j in range(k)]
    divided = Population(
        weights=(counts + 1.0) / (counts + 1.0).sum(),
        centre=np.array(means),
        tail=np.zeros((k, sums.axes.size)),
        covariance=np.repeat(0.5 * common.covariance, k, axis=0),
        residual=common.residual,
        straight=straight,
    )
    return _with_tails(climb(divided, sums, 10, pull=Pull(common.covariance[0])), _TAIL_SHARE)


def _draw(common: Population, sums: Sums, rng: np.random.Generator) -> Floats:
    """Draw a course (d, n) of each series from its posterior under the common component."""
    part = posteriors(common, evidence(sums, common.residual))[0]
    return np.asarray(part.centre + np.einsum("abn,an->bn", part.root, rng.standard_normal(part.centre.shape)))


def _with_tails(population: Population, share: float) -> Population:
    """Turn a share of the SD of each component's trend of the marker into a tail upwards."""
    covariance, tail = population.covariance.copy(), population.tail.copy()
    for k, own in enumerate(covariance):
        tail[k] = share * own[:, TREND] / np.sqrt(own[TREND, TREND])
        own -= np.outer(tail[k], tail[k])
    return replace(population, covariance=covariance, tail=tail)


def sharpened(population: Population) -> Population:
    """Give each component the same mean and covariance, but let the marker's trend spread in its tail, upwards only.

    Small cohorts cannot tell such a population from one that spreads evenly (``benchmarks/population_shape.md``).
    """
    whole = population.covariance + population.tail[:, :, None] * population.tail[:, None, :]
    return _with_tails(replace(population, covariance=whole, tied=False), _SHARP_SHARE)


@dataclass(frozen=True)
class Families:
    """Kinds of population that readings allow: those of each that are supported, best first; the ``pull`` on all."""

    kept: tuple[tuple[Population, ...], ...]
    pull: Pull


def families(common: Population, sums: Sums, seed: int, everyone: Sums | None = None) -> Families:
    """Grow the populations that the data support, or keep two kinds of one component where readings do not choose.

    Large cohorts are asked first how the trend of the marker spreads: in one component whose trend may spread both
    ways, or in one in which most change little and a few rise much. The second is the edge of what the first can
    become: a likelihood-ratio test would often refuse it. But the two fit a cohort nearly alike and rank its people
    otherwise, the second often better (``benchmarks/upward_population.md``). So both are kept unless the first
    foretells more, by Akaike's estimate, by three standard errors of the sum over the series; that is a choice.
    Readings that leave this open say less still of the shape of the tail, so that z stays closer to the lognormal, and
    of further components, which are then not asked for.
    """
    if everyone is None:
        return Families((grow(common, sums, seed, tied=True),), pull_of(common))
    held = pull_of(common, _Z_PEOPLE_OPEN)
    either, upward = kinds(common, everyone, held)
    if ahead(either, upward, everyone) > TOLD_APART:
        return Families((grow(common, sums, seed, everyone),), pull_of(common, _Z_PEOPLE))
    return Families(((either,), (upward,)), held)


def kinds(common: Population, everyone: Sums, pull: Pull) -> tuple[Population, Population]:
    """Fit one component whose trend of the marker may spread both ways, and one in whose tail only it spreads."""
    return _alone(common, everyone, pull, _TAIL_SHARE), _alone(common, everyone, pull, 1.0)


def ahead(one: Population, other: Population, sums: Sums) -> float:
    """Say by how many standard errors one population foretells the series better than another, by Akaike's estimate.

    Source
    ------
    Vehtari, Gelman and Gabry 2017, Stat Comput 27:1413, doi:10.1007/s11222-016-9696-4 (the standard error of a
    difference in what two models foretell; there by cross-validation).
    """
    apart = log_likelihoods(one, sums) - log_likelihoods(other, sums)
    more = float(apart.sum()) - (one.n_parameters - other.n_parameters)
    return more / max(float(np.sqrt(sums.n) * apart.std()), np.finfo(float).tiny)


def _alone(common: Population, everyone: Sums, pull: Pull, share: float) -> Population:
    """Fit one straight component that begins with a share of its trend's SD as a tail; with all of it, it stays so."""
    bend = marker_bend(everyone)
    start = replace(common, straight=np.full(1, bend is not None), upward=share == 1.0)
    return climb(_with_tails(start, share).constrained(bend), everyone, _LAST_CYCLES, pull=pull)


def grow_alike(like: Population, sums: Sums, pull: Pull, seed: int) -> Population:
    """Fit a population as rich as another one to other series, from the beginning."""
    common = single(sums)
    start = _start(common, sums, like.components, [seed, like.components])
    straight = climb(replace(start, tied=like.tied), sums, _CYCLES, pull=pull)
    if like.straight.all() or marker_bend(sums) is None:
        return straight
    return climb(_bent(straight, int(like.straight.sum()), pull), sums, _FURTHER_CYCLES, pull=pull)


def refit(chosen: Population, sums: Sums, weight: Floats, pull: Pull) -> Population:
    """Fit the same population again with other counts (n,) of the series, from where it stands.

    The more series, the less it moves, and the fewer cycles it takes.
    """
    cycles = int(np.clip(_REFIT_SERIES // sums.n, _FEWEST_REFIT_CYCLES, _REFIT_CYCLES))
    return climb(chosen, sums, cycles, weight=weight, pull=pull)


def refits(grown: Families, sums: Sums, count: int, seed: int) -> tuple[Population, ...]:
    """Fit populations again with drawn counts of the series, so that doubt about the population is averaged over.

    As many for each family, the first one the more where they do not divide; within it, as many for each population
    as its Akaike weight gives it.

    Source
    ------
    Rubin 1981, Ann Stat 9:130, doi:10.1214/aos/1176345338 (the Bayesian bootstrap).
    """
    counts = np.random.default_rng(seed).standard_exponential((count, sums.n))
    counts *= sums.n / counts.sum(axis=1, keepdims=True)

    shared = np.array_split(counts, len(grown.kept))
    return tuple(
        refit(chosen, sums, own, grown.pull)
        for family, part in zip(grown.kept, shared, strict=True)
        for chosen, own in zip(_by_weight(family, len(part)), part, strict=True)
    )


def _by_weight(family: tuple[Population, ...], count: int) -> list[Population]:
    """Give so many populations of a family, each as often as its Akaike weight says."""
    weights = np.exp(-0.5 * np.array([population.criterion - family[0].criterion for population in family]))
    places = np.searchsorted(np.cumsum(weights) / weights.sum(), (np.arange(count) + 0.5) / count)
    return [family[place] for place in places]
