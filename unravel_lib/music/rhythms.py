"""Rhythms as arrays of bool: the onsets of Bjorklund's algorithm, and the sieves of Xenakis."""

import ast
import re

import numpy as np
import numpy.typing as npt

MAX_STEPS = 10_000
Onsets = npt.NDArray[np.bool_]


def bjorklund(onsets: int, steps: int) -> Onsets:
    """Distribute onsets as evenly as possible: E(3, 8) is x..x..x.

    Parameters
    ----------
    onsets, steps : int
        1 <= onsets <= steps <= 10,000.

    Returns
    -------
    bool [steps]

    Raises
    ------
    ValueError
        The numbers are out of range.

    Notes
    -----
    E. Bjorklund, "The Theory of Rep-Rate Pattern Generation in the SNS Timing System", 2003; G. Toussaint, "The
    Euclidean Algorithm Generates Traditional Musical Rhythms", 2005. What remains is appended to the groups, one
    each, until at most one group remains.

    >>> "".join("x" if onset else "." for onset in bjorklund(5, 8))
    'x.xx.xx.'
    """
    if not 1 <= onsets <= steps:
        raise ValueError(f"{onsets} onsets in {steps} steps, expected at least 1 onset and no more onsets than steps")
    if steps > MAX_STEPS:
        raise ValueError(f"{steps:,} steps, expected at most {MAX_STEPS:,}")
    groups, rest = [[True]] * onsets, [[False]] * (steps - onsets)
    while len(rest) > 1:
        n = min(len(groups), len(rest))
        joined = [group + other for group, other in zip(groups, rest, strict=False)]
        groups, rest = joined, groups[n:] or rest[n:]
    return np.array([step for group in groups + rest for step in group])


def sieve(expression: str, n: int) -> Onsets:
    """Evaluate a residue expression for the numbers 0 to n - 1.

    Parameters
    ----------
    expression : str
        ``M@R`` is true for every number whose remainder by M is that of R. ``|`` joins (or), ``&`` intersects (and),
        ``-`` before something excludes it, between two it takes the second one away; ``-`` binds strongest, then
        ``&``, then ``|``; brackets group.
    n : int
        How many numbers.

    Returns
    -------
    bool [n]

    Raises
    ------
    ValueError
        The expression is not understood, or a modulus is not from 1 to 2,147,483,647.

    Notes
    -----
    I. Xenakis, "Formalized Music", chapter "Sieves".

    >>> "".join("x" if true else "." for true in sieve("3@0|5@2", 9))
    'x.xx..xx.'
    """
    grouped = re.sub(r"[0-9]+@[0-9]+", r"(\g<0>)", expression)  # Python's - binds stronger than its @
    try:
        if not re.fullmatch(r"[0-9@|&()-]+", expression):
            raise SyntaxError("another character")
        return _evaluate(ast.parse(grouped, mode="eval").body, np.arange(n))
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"{expression} is no sieve, expected one like 3@0|5@2, of M@R and | & - ( )") from error


def _evaluate(node: ast.expr, numbers: npt.NDArray[np.int64]) -> Onsets:
    match node:
        case ast.BinOp(ast.Constant(int(modulus)), ast.MatMult(), ast.Constant(int(remainder))):
            if not 0 < modulus < 2**31:
                raise ValueError(f"{modulus}@{remainder} has modulus {modulus}, expected 1 to 2147483647")
            return np.asarray(numbers % modulus == remainder % modulus)
        case ast.BinOp(left, ast.BitOr(), right):
            return _evaluate(left, numbers) | _evaluate(right, numbers)
        case ast.BinOp(left, ast.BitAnd(), right):
            return _evaluate(left, numbers) & _evaluate(right, numbers)
        case ast.BinOp(left, ast.Sub(), right):
            return _evaluate(left, numbers) & ~_evaluate(right, numbers)
        case ast.UnaryOp(ast.USub(), operand):
            return ~_evaluate(operand, numbers)
    raise SyntaxError("a number without @")
