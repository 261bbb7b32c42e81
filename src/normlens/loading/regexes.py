"""Whether every match of a tokenizer's regular expression consumes at least one character of the text."""

from __future__ import annotations

import re

_ONE = re.compile(
    r"""\\[pP]\{\^?\w+\}                           # a property
    | \\[dDwWsShHtnrfv]                            # a class, or a control character
    | \\[^A-Za-z0-9]                               # an escaped character
    | \[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\[\]\\])*\]    # a set
    | [^\\^$|()?*+{}\[\]]                          # a literal""",
    re.VERBOSE | re.DOTALL,
)
"""An item that matches exactly one character."""

_ANCHOR = re.compile(r"\\[bBAZz]|[\^$]")
_COUNT = re.compile(r"[*?+][?+]?|\{(\d*)(?:,\d*)?\}")
_OPEN = re.compile(r"\((\?(?::|>|<\w+>|i:)|\?<?[=!]|(?!\?))")
_LOOKS_AROUND = ("?=", "?!", "?<=", "?<!")


class _Group:
    """A group while it is parsed: whether all its alternatives so far, and the current one, consume a character."""

    def __init__(self, looks_around: bool) -> None:
        self.looks_around, self.all_take, self.takes = looks_around, True, False

    def end_alternative(self) -> None:
        self.all_take, self.takes = self.all_take and self.takes, False

    def end(self) -> bool:
        self.end_alternative()
        return self.all_take and not self.looks_around


def takes_a_character(pattern: str) -> bool:
    """Whether no match of the pattern can be empty; also False for a pattern that this parser doesn't understand."""
    groups = [_Group(looks_around=False)]
    last, place = False, 0  # last: whether the item that ends at this place consumes a character
    while place < len(pattern):
        if count := _COUNT.match(pattern, place):
            at_least_one = count[0][0] == "+" or bool((count[1] or "").strip("0"))
            last, place = last and at_least_one, count.end()
            continue
        groups[-1].takes |= last
        last, start = False, place
        if opened := _OPEN.match(pattern, place):
            groups.append(_Group(opened[1] in _LOOKS_AROUND))
            place = opened.end()
        elif pattern[place] == "|":
            groups[-1].end_alternative()
            place += 1
        elif pattern[place] == ")" and len(groups) > 1:
            last, place = groups.pop().end(), place + 1
        elif one := _ONE.match(pattern, place):
            last, place = True, one.end()
        elif anchor := _ANCHOR.match(pattern, place):
            place = anchor.end()
        if place == start:
            return False
    groups[-1].takes |= last
    return len(groups) == 1 and groups[0].end()
