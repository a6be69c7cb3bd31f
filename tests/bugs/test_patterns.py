"""Mistakes as patterns: (pattern, what stands in its place, before, after), None where it is not there."""

from __future__ import annotations

import doctest

import pytest

from torchport_translators.bugs import patterns
from torchport_translators.bugs.patterns import Pattern, PatternError

VAR = ("jnp.var($x, $*rest)", "jnp.var($x, $*rest, ddof=1)")
TABLE = [
    (*VAR, "jnp.var(x)", "jnp.var(x, ddof=1)"),
    (*VAR, "y = jnp.var(x, 1, keepdims=True) + z", "y = jnp.var(x, 1, keepdims=True, ddof=1) + z"),
    (*VAR, "jnp.var(x, ddof=1)", None),  # mended already
    (*VAR, "jnp.std(x)", None),
    (*VAR, "np.var(x)", None),
    (*VAR, "jnp.var(jnp.var(x))", "jnp.var(jnp.var(x), ddof=1)"),  # the outer one first
    (*VAR, "'é🔥', jnp.var(x)", "'é🔥', jnp.var(x, ddof=1)"),
    (*VAR, "def f(:", None),
    # What a hole stands for is put into parentheses where it needs them.
    ("jnp.square($x)", "$x * $x", "jnp.square(a + b)", "(a + b) * (a + b)"),
    ("jnp.square($x)", "$x * $x", "jnp.square(f(a))", "f(a) * f(a)"),
    ("f($a, $b)", "g($b, $a)", "f(x + 1, y if z else w)", "g(y if z else w, x + 1)"),
    # One hole stands for one thing.
    ("$x - $x", "0", "a.b - a.b", "0"),
    ("$x - $x", "0", "a.b - a.c", None),
    # Keywords in any order, none more than the pattern has.
    ("f(a=$a, b=$b)", "g($a, $b)", "f(b=2, a=1)", "g(1, 2)"),
    ("f(a=$a)", "g($a)", "f(a=1, b=2)", None),
    ("f($*rest)", "g($*rest)", "f()", "g()"),
    ("f($x, $*rest)", "g($*rest, $x)", "f(1)", "g(1)"),
    # Where the replacement is a statement, only whole statements are meant.
    ("$x.at[$i].set($v)", "$x = $x.at[$i].set($v)", "y.at[0].set(1)", "y = y.at[0].set(1)"),
    ("$x.at[$i].set($v)", "$x = $x.at[$i].set($v)", "z = y.at[0].set(1)", None),
    ("$x = $x.T", "$x = mx.swapaxes($x, -1, -2)", "w = w.T", "w = mx.swapaxes(w, -1, -2)"),
]


@pytest.mark.parametrize(("find", "replace", "before", "after"), TABLE)
def test_replaced(find: str, replace: str, before: str, after: str | None) -> None:
    statement = not Pattern(replace).is_expression
    assert Pattern(find, statement=statement).replaced(before, replace) == after


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_only_on_some_lines(newline: str) -> None:
    find, replace = VAR
    text = newline.join(["jnp.var(a)", "jnp.var(b)", "jnp.var(", "    c)"])
    for lines, line in ((range(2, 3), "jnp.var(b"), (range(4, 9), "c")):
        after = Pattern(find).replaced(text, replace, lines)
        assert after == text.replace(
            f"{line})", f"{line}, ddof=1)" if line != "c" else "c, ddof=1)"
        ).replace(f"jnp.var({newline}    c, ddof=1)", "jnp.var(c, ddof=1)")


@pytest.mark.parametrize("text", ["f(", "a; b", "", "$x $y"])
def test_what_is_no_pattern(text: str) -> None:
    with pytest.raises(PatternError, match="not one statement or expression"):
        Pattern(text)


def test_the_manual() -> None:
    assert doctest.testmod(patterns) == (0, doctest.testmod(patterns).attempted)
