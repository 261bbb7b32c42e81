"""Links of one line: Pharaoh ``i-j``, ``.talp`` with sure ``-`` and possible ``p``, and JSON with scores."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from normlens.bitext.links import Cell, Link, LinkSets
from normlens.errors import InvalidInput

_MOST_WORDS = 10**9
_EXPECTED_JSON = 'Expected {"links": [[0, 0, 0.9], …], "sure": [true, …]}; "sure" is needed if some are only possible.'
_TOKEN = re.compile(r"(\d{1,9})([-pP?])(\d{1,9})(?::[0-9.eE+-]+)?", re.ASCII)

Writer = Callable[[Iterable[Link]], str]


def pharaoh_line(links: Iterable[Link], base: int = 0) -> str:
    """One sentence pair's links as ``source-target``, sorted and separated by spaces; no line end.

    Parameters
    ----------
    links
        In any order.
    base
        The number of the first word.

    Examples
    --------
    >>> pharaoh_line([Link(1, 0), Link(0, 2)])
    '0-2 1-0'
    """
    return " ".join(f"{link.source + base}-{link.target + base}" for link in sorted(links))


def talp_line(links: Iterable[Link], base: int = 0) -> str:
    """The same, with ``p`` between the numbers of a merely possible link.

    Examples
    --------
    >>> talp_line([Link(0, 0), Link(1, 0, sure=False)], base=1)
    '1-1 2p1'
    """
    return " ".join(f"{link.source + base}{'-' if link.sure else 'p'}{link.target + base}" for link in sorted(links))


def json_line(links: Iterable[Link], base: int = 0, **fields: Any) -> str:
    """The links with their scores as one JSON object: ``{"links": [[source, target, score], …], "sure": [true, …]}``.

    Parameters
    ----------
    links
        In any order.
    base
        The number of the first word.
    **fields
        Other fields, written before the links: the line's number, the words.
    """
    ordered = sorted(links)
    cells = [[link.source + base, link.target + base, round(float(link.score), 4)] for link in ordered]
    return json.dumps({**fields, "links": cells, "sure": [link.sure for link in ordered]}, ensure_ascii=False)


def parse_links(line: str, base: int = 0, where: str = "the line") -> LinkSets:
    """The links of one line.

    Parameters
    ----------
    line
        Such as ``"0-0 1p2"``, or a JSON object. Possible links have ``p``, ``P`` or ``?`` in place of ``-``; a score after
        a link, as in ``0-0:0.9``, is ignored.
    base
        The number of the first word.
    where
        Name of the line in errors.

    Raises
    ------
    InvalidInput
        Naming `where` and the token.

    Examples
    --------
    >>> sorted(parse_links("1-1 2p1", base=1).possible)
    [(0, 0), (1, 0)]
    """
    if line.lstrip().startswith("{"):
        return _from_json(line, base, where)
    sure: list[Cell] = []
    possible: list[Cell] = []
    for token in line.split():
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise InvalidInput(
                f"{where}: {token!r} is not a link; expected two word numbers joined by - (sure) or p (possible), such as "
                "3-4 or 3p4."
            )
        cells = sure if match[2] == "-" else possible
        cells.append(cell(int(match[1]), int(match[3]), base, token, where))
    return LinkSets.from_links(sure, possible)


def check_ranges(pairs: Iterable[tuple[LinkSets, int, int]], where: str) -> None:
    """Refuse links to words that a sentence doesn't have.

    Parameters
    ----------
    pairs
        The links of each pair, with the numbers of its source and target words.
    where
        Name of the file in errors.

    Raises
    ------
    InvalidInput
        Naming the first such line and link.
    """
    for number, (links, sources, targets) in enumerate(pairs, start=1):
        for source, target in sorted(links.possible):
            if source >= sources or target >= targets:
                raise InvalidInput(
                    f"{where}, line {number}: the link {source}-{target} (counted from 0) is out of range; the sentences "
                    f"have {sources} and {targets} words. Check the order of the languages and the number of the first "
                    "word."
                )


def cell(source: int, target: int, base: int, token: str, where: str) -> Cell:
    """Two word numbers counted from ``base``, as a cell counted from 0; ``where`` and ``token`` are for the error."""
    if source < base or target < base:
        raise InvalidInput(
            f"{where}: {token!r} has a word number below {base}, the number of the first word. If the file counts from "
            f"{1 - base}, set that (--gold-base or --hyp-base; base= in Python)."
        )
    return source - base, target - base


def _from_json(line: str, base: int, where: str) -> LinkSets:
    try:
        record = json.loads(line, object_pairs_hook=_without_doubles)
        links, sure = record["links"], record.get("sure")
        if not isinstance(links, list) or not all(map(_is_link, links)):
            raise TypeError("each link must be a list of two word numbers, optionally with a score")
        if sure is not None and not (isinstance(sure, list) and all(isinstance(flag, bool) for flag in sure)):
            raise TypeError('"sure" must be a list of true and false')
        cells = [cell(link[0], link[1], base, str(link), where) for link in links]
        certain = [one for one, flag in zip(cells, [True] * len(links) if sure is None else sure, strict=True) if flag]
    except KeyError as error:
        raise InvalidInput(f"{where}: the JSON object has no {error}. {_EXPECTED_JSON}") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{where}: the links in the JSON object can't be read: {error}. {_EXPECTED_JSON}") from error
    return LinkSets.from_links(certain, cells)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key appears twice")
    return dict(pairs)


def _is_link(link: Any) -> bool:
    """Whether this is a source and a target word, with or without a finite score; ``true`` doesn't count as a number."""
    if not isinstance(link, list) or len(link) not in (2, 3):
        return False
    numbers = all(type(number) is int and 0 <= number < _MOST_WORDS for number in link[:2])
    return numbers and all(type(score) in (int, float) and math.isfinite(score) for score in link[2:])
