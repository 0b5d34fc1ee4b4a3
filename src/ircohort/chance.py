"""Random numbers that belong to a person, not to a position in a cohort.

Each person has streams of their own, made by SHAKE-256 from purpose, seed and participant identifier, and turned
into normal numbers by the quantile function. NumPy's generators are not used: their normal numbers may change from
one version to the next, and a cohort made today must be made again in ten years.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_256

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BYTES = 8
_BITS = 52


def uniforms(purpose: str, seed: int, participants: Sequence[str], count: int = 1) -> Floats:
    """Draw numbers uniform on the open interval (0, 1) for each participant.

    Parameters
    ----------
    purpose
        Name of the stream; another name gives independent numbers.
    seed, participants
        What the numbers depend on, besides the purpose.
    count
        Numbers per participant. A larger count begins with the numbers of a smaller one.

    Returns
    -------
    numpy.ndarray
        (participants, count).

    Examples
    --------
    >>> few, many = uniforms("visit", 1, ["P0001"], 2), uniforms("visit", 1, ["P0002", "P0001"], 5)
    >>> bool((few[0] == many[1, :2]).all())
    True
    """
    streams = (shake_256(f"{purpose}:{seed}:{name}".encode()).digest(_BYTES * count) for name in participants)
    words = np.frombuffer(b"".join(streams), dtype="<u8").reshape(len(participants), count)
    return ((words >> np.uint64(64 - _BITS)).astype(np.float64) + 0.5) * 2.0**-_BITS


def normals(purpose: str, seed: int, participants: Sequence[str], count: int) -> Floats:
    """Draw standard normal numbers, as :func:`uniforms` draws uniform ones."""
    quantiles: Floats = ndtri(uniforms(purpose, seed, participants, count))
    return quantiles


def exponentials(purpose: str, seed: int, participants: Sequence[str], count: int) -> Floats:
    """Draw standard exponential numbers, the weights of a Bayesian bootstrap: (count, participants).

    Source
    ------
    Rubin 1981, Annals of Statistics 9:130, doi:10.1214/aos/1176345338.

    Examples
    --------
    >>> exponentials("weights", 0, ["a", "b"], 3).shape
    (3, 2)
    """
    return np.ascontiguousarray(-np.log(uniforms(purpose, seed, participants, count)).T)


def shuffled(purpose: str, seed: int, participants: Sequence[str]) -> Ints:
    """Give each participant a rank in an order that depends on the hash alone; identifiers are distinct.

    Examples
    --------
    >>> sorted(shuffled("order", 0, ["a", "b", "c"]).tolist())
    [0, 1, 2]
    """
    drawn = uniforms(purpose, seed, participants)[:, 0]
    order = np.lexsort((np.array(participants, dtype=str), drawn))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order))
    return ranks
