"""Model formulas: the fixed part for formulaic, the random part in lme4's syntax, and nothing else.

formulaic evaluates Python, so a formula is never handed to it unread: its syntax tree is walked first, and only
column names, numbers, the operators of a formula and the transforms of :data:`TRANSFORMS` pass.
"""

from __future__ import annotations

import ast
import keyword
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial, update_wrapper
from types import MappingProxyType
from typing import Any

import numpy as np
from formulaic.transforms import TRANSFORMS as FORMULAIC

from ircohort.errors import FormulaError, UsageError

TRANSFORMS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "log": np.log,
        "sqrt": np.sqrt,
        "poly": FORMULAIC["poly"],
        # A row beyond the data that were fitted has no value of a B-spline; it must not take the other rows with it.
        "bs": update_wrapper(partial(FORMULAIC["bs"], extrapolation="na"), FORMULAIC["bs"]),
        # Uncentred, the columns of a natural spline add up to the intercept, and the two cannot be told apart. The
        # wrapping keeps formulaic's mark that the transform remembers its knots.
        "cr": update_wrapper(partial(FORMULAIC["cr"], constraints="center"), FORMULAIC["cr"]),
        "center": FORMULAIC["center"],
        "scale": FORMULAIC["scale"],
        "C": FORMULAIC["C"],
    }
)
"""Every transform that a formula may name. ``cr(x, df=3)`` is a natural cubic spline, as ``ns`` in R."""

LONGEST_FORMULA = 800
"""Characters. Longer ones are machine-made, and could nest beyond what a tree walk can follow."""

LARGEST_EXPONENT = 9
"""Powers beyond this are refused: none is meant, and a tower of them never ends."""

_ADMITTED_CHARACTERS = re.compile(r"[A-Za-z0-9_\s+\-*/:().,=|~\[\]\"']")
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow)
_BARS = (ast.BitOr, ast.BitXor)
# Python has no ":" and no "||" in expressions. Stand-ins of the same length keep every position in the text.
_INTERACTION, _DIAGONAL = "@", "^ "
_OWN_COLUMN = "Compute a column of the frame first, and name it in the formula."
_INSTEAD: Mapping[str, str] = MappingProxyType(
    {"ns": "A natural spline is cr(x, df=3).", "I": _OWN_COLUMN, "factor": "A category is C(x).", "offset": _OWN_COLUMN}
)
_EXAMPLE = "For example: log(homa_ir) ~ years * progressor + age + (1 + years | participant_id)."


@dataclass(frozen=True)
class ModelFormula:
    """A formula taken apart.

    ``response``, ``fixed`` and ``random`` are texts for formulaic; ``group`` is the grouping column; ``diagonal`` is
    true for ``||`` (random effects without correlation); ``variables`` are the columns used, ``group`` not among
    them unless it is used elsewhere too; ``categories`` are those that ``C`` makes categories.
    """

    text: str
    response: str
    fixed: str
    random: str
    group: str
    diagonal: bool
    variables: tuple[str, ...]
    categories: tuple[str, ...]


def parse_formula(text: str) -> ModelFormula:
    """Take a formula apart, and refuse all that is not a column, a number, an operator or a named transform.

    Parameters
    ----------
    text
        ``response ~ fixed + (random | group)``. One random term with one grouping column; ``||`` for random effects
        without correlation. Operators: ``+ - * : / **`` and brackets.

    Raises
    ------
    FormulaError
        If the formula is malformed or holds anything else; the offending piece is named.

    Source
    ------
    Random terms as in lme4: Bates 2015, J Stat Softw 67(1), doi:10.18637/jss.v067.i01.

    Examples
    --------
    >>> parse_formula("log(homa_ir) ~ bs(years, df=3) * sex + (1 + years | participant_id)").random
    '1 + years'
    >>> parse_formula("homa_ir ~ __import__('os').getcwd() + (1 | participant_id)")
    Traceback (most recent call last):
    ...
    ircohort.errors.FormulaError: The formula uses an attribute, `.getcwd`.
    Admitted are column names, numbers, + - * : / ** ( ), and log, sqrt, poly, bs, cr, center, scale, C.
    """
    if not isinstance(text, str):
        raise UsageError(
            f"The formula was given as {type(text).__name__}.", expected="The formula comes first, then the data frame."
        )
    joined = " ".join(text.split())
    stray = sorted(set(_ADMITTED_CHARACTERS.sub("", joined)))
    if stray:
        raise _refused(f"the character {stray[0]!r}")
    if len(joined) > LONGEST_FORMULA:
        raise FormulaError(f"The formula is longer than {LONGEST_FORMULA} characters.", next_step=_EXAMPLE)
    left, tilde, right = joined.partition("~")
    if not tilde or "~" in right or not left.strip() or not right.strip():
        raise FormulaError("The formula needs one ~ between the response and the terms.", next_step=_EXAMPLE)
    random = _find_random_term(right.strip())
    if not isinstance(_tree(left.strip()), ast.Name | ast.Call):
        raise FormulaError("The response must be one column, or one transform of it.", next_step=_EXAMPLE)
    names: set[str] = set()
    trees = [_tree(part) for part in (left.strip(), random.fixed, random.effects)]
    for tree in trees:
        _admit(tree, names)
    return ModelFormula(
        text=joined,
        response=left.strip(),
        fixed=random.fixed,
        random=random.effects,
        group=random.group,
        diagonal=random.diagonal,
        variables=tuple(sorted(names)),
        categories=tuple(sorted({name for tree in trees for name in _categories(tree)})),
    )


def _categories(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "C":
            yield from (name.id for argument in node.args for name in ast.walk(argument) if isinstance(name, ast.Name))


@dataclass(frozen=True)
class _RandomTerm:
    fixed: str
    effects: str
    group: str
    diagonal: bool


def _find_random_term(right: str) -> _RandomTerm:
    bars = [node for node in ast.walk(_tree(right)) if isinstance(node, ast.BinOp) and isinstance(node.op, _BARS)]
    if not bars:
        raise FormulaError(
            "The formula has no random part.",
            expected="A mixed model needs one, in brackets: (1 | participant_id) or (1 + years | participant_id).",
            next_step=_EXAMPLE,
        )
    if len(bars) > 1:
        raise FormulaError(
            f"The formula has {len(bars)} random parts.",
            expected="ircohort fits one grouping column with one random part.",
            next_step="Put the effects into one bracket, or use lme4 or MixedModels.jl for crossed factors.",
        )
    bar = bars[0]
    if not isinstance(bar.right, ast.Name):
        raise FormulaError("The grouping of the random part is not a column name.", next_step=_EXAMPLE)
    source = right.encode()  # positions in a syntax tree count bytes
    before, after = source[: bar.col_offset].decode().rstrip(), source[bar.end_col_offset :].decode().lstrip()
    if not (before.endswith("(") and after.startswith(")")):
        raise FormulaError("The random part stands without brackets.", next_step=_EXAMPLE)
    inner = source[bar.col_offset : bar.end_col_offset].decode()
    effects = inner.split("|", 1)[0].strip()
    fixed = _without_term(before[:-1].rstrip(), after[1:].lstrip())
    return _RandomTerm(fixed, effects, bar.right.id, isinstance(bar.op, ast.BitXor))


def _without_term(before: str, after: str) -> str:
    """Join what stands before and after the random part, which must be one summand of the formula."""
    alone = (not before or before.endswith("+")) and (not after or after[0] in "+-")
    if not alone:
        raise FormulaError("The random part must be added to the formula with +.", next_step=_EXAMPLE)
    head = before[:-1].rstrip() if before else ""
    tail = after[1:].lstrip() if not head and after.startswith("+") else after
    return f"{head} {tail}".strip() or "1"


def _tree(text: str) -> Any:
    python = text.replace("||", _DIAGONAL).replace(":", _INTERACTION)
    try:
        return ast.parse(python, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        kept = [word for word in re.findall(r"[^\W\d]\w*", text) if keyword.iskeyword(word)]
        if kept:
            raise FormulaError(
                f"The formula uses the word {kept[0]}, which Python keeps for itself.",
                next_step="Give the column another name.",
            ) from error
        raise FormulaError("The formula cannot be read: a bracket or an operator is wrong.", next_step=_EXAMPLE) from (
            error
        )


def _admit(node: ast.AST, names: set[str]) -> None:
    """Walk a part of the formula; collect its column names; refuse what is not admitted, or would be taken wrongly."""
    if isinstance(node, ast.Name):
        names.add(node.id)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        _admit_power(node)
        _admit(node.left, names)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (*_OPERATORS, ast.MatMult)):
        sides = (node.left, node.right)
        if not isinstance(node.op, ast.Add | ast.Sub) and any(_is_number(side) for side in sides):
            raise _refused("a number beside `*`, `:` or `/`, which join terms", _OWN_COLUMN)
        for side in sides:
            _admit(side, names)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd) and _is_intercept(node.operand):
        return
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        raise _refused("a sign before a term, which takes terms away", _OWN_COLUMN)
    elif isinstance(node, ast.Call):
        _admit_call(node, names)
    elif _is_number(node) and not _is_intercept(node):
        raise _refused("a number other than 0 and 1 as a term", _OWN_COLUMN)
    elif not _is_number(node):
        raise _refused(_describe(node))


def _admit_value(node: ast.AST, names: set[str]) -> None:
    """Walk what stands in a transform, where operators are those of arithmetic."""
    if isinstance(node, ast.Name):
        names.add(node.id)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (*_OPERATORS, ast.MatMult)):
        if isinstance(node.op, ast.Pow) and not _is_exponent(node.right):
            raise _refused(f"a power other than to a number up to {LARGEST_EXPONENT}")
        _admit_value(node.left, names)
        _admit_value(node.right, names)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _admit_value(node.operand, names)
    elif isinstance(node, ast.Call):
        _admit_call(node, names)
    elif not _is_number(node):
        raise _refused(_describe(node))


def _admit_power(node: ast.BinOp) -> None:
    if not _is_exponent(node.right) or _is_number(node.left):
        raise _refused(f"a power other than a bracket to a number up to {LARGEST_EXPONENT}")
    if isinstance(node.left, ast.Name):
        raise _refused("a power of one column, which a formula takes for the column", f"poly(x, 2). {_OWN_COLUMN}")


def _is_exponent(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and _is_number(node) and 0 < node.value <= LARGEST_EXPONENT  # type: ignore[operator]


def _is_intercept(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and _is_number(node) and node.value in (0, 1)


def _admit_call(node: ast.Call, names: set[str]) -> None:
    if not isinstance(node.func, ast.Name):
        raise _refused(_describe(node.func))
    if node.func.id not in TRANSFORMS:
        raise _refused(f"`{node.func.id}`, which is not one of its transforms", _INSTEAD.get(node.func.id, ""))
    for argument in node.args:
        _admit_value(argument, names)
    for named in node.keywords:
        if named.arg is None:
            raise _refused("`**` in a call")
        _admit_literal(named.value)


def _admit_literal(node: ast.AST) -> None:
    """Admit as keyword argument a number, a word, true or false, nothing, or a list of these."""
    if isinstance(node, ast.List | ast.Tuple):
        for item in node.elts:
            _admit_literal(item)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand):
        return
    elif not (isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None)):
        raise _refused(_describe(node))


def _is_number(node: ast.AST) -> bool:
    number = isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)
    return number and math.isfinite(node.value)  # type: ignore[attr-defined]


_NODES: Mapping[type[ast.AST], str] = MappingProxyType(
    {
        ast.Subscript: "square brackets after a name",
        ast.Starred: "`*` before an argument",
        ast.List: "a list outside a keyword argument",
        ast.Tuple: "a comma outside a call",
        ast.BinOp: "an operator that is not + - * : / **",
        ast.Compare: "a comparison",
        ast.BoolOp: "`and` or `or`",
        ast.IfExp: "`if`",
        ast.Lambda: "`lambda`",
    }
)


def _describe(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"an attribute, `.{node.attr}`"
    if isinstance(node, ast.Name):
        return f"`{node.id}` where only a number or a word may stand"
    if isinstance(node, ast.Constant):
        return "a text or a constant where only a column or a number may stand"
    return _NODES.get(type(node), f"{type(node).__name__.lower()}")


def _refused(what: str, next_step: str = "") -> FormulaError:
    return FormulaError(
        f"The formula uses {what}.",
        expected=f"Admitted are column names, numbers, + - * : / ** ( ), and {', '.join(TRANSFORMS)}.",
        next_step=next_step,
    )
