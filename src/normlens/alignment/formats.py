"""Links in files: Pharaoh ``i-j``, ``.talp`` with sure ``-`` and possible ``p``, and JSON lines with scores."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from normlens.alignment.links import Cell, Link, LinkSets
from normlens.errors import InvalidInput

_TOKEN = re.compile(r"(\d+)([-p])(\d+)", re.ASCII)

Writer = Callable[[Iterable[Link]], str]


def pharaoh_line(links: Iterable[Link], base: int = 0) -> str:
    """One sentence pair's links as ``source-target``, sorted, with spaces between them; no line end.

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
    """The same with ``p`` between the numbers of a link that is only possible.

    Examples
    --------
    >>> talp_line([Link(0, 0), Link(1, 0, sure=False)], base=1)
    '1-1 2p1'
    """
    return " ".join(f"{link.source + base}{'-' if link.sure else 'p'}{link.target + base}" for link in sorted(links))


def json_line(links: Iterable[Link], base: int = 0, **further: Any) -> str:
    """The links with their scores as one JSON object: ``{"links": [[source, target, score], …], "sure": [true, …]}``.

    Parameters
    ----------
    links
        In any order.
    base
        The number of the first word.
    **further
        Other entries, written before the links: the line's number, the words.
    """
    ordered = sorted(links)
    found = [[link.source + base, link.target + base, round(float(link.score), 4)] for link in ordered]
    return json.dumps({**further, "links": found, "sure": [link.sure for link in ordered]}, ensure_ascii=False)


def read_links(path: str | Path, base: int = 0) -> Iterator[LinkSets]:
    """Read a file of links, one sentence pair a line: Pharaoh, ``.talp`` or the JSON lines of :func:`json_line`.

    Parameters
    ----------
    path
        The file; an empty line is a pair without links.
    base
        The number of the first word in this file, 0 or 1.

    Yields
    ------
    LinkSets
        With words from 0.

    Raises
    ------
    InvalidInput
        If the file can't be read, or holds something that is no link: file, line and token are named.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                yield parse_links(line, base, f"{path}, line {number}")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}). Expected lines such as 0-0 1p2."
        ) from error
    except OSError as error:
        raise InvalidInput(f"{path} can't be read: {error.strerror or error}. Check the path.") from error


def parse_links(line: str, base: int = 0, where: str = "the line") -> LinkSets:
    """The links of one line.

    Parameters
    ----------
    line
        Such as ``"0-0 1p2"``, or a JSON object.
    base
        The number of the first word.
    where
        What an error calls the line.

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
    marked: dict[str, list[Cell]] = {"-": [], "p": []}
    for token in line.split():
        found = _TOKEN.fullmatch(token)
        if found is None:
            raise InvalidInput(
                f"{where}: {token!r} is no link; expected two word numbers with - (sure) or p (possible) between them, "
                "such as 3-4 or 3p4."
            )
        marked[found[2]].append(_cell(int(found[1]), int(found[3]), base, token, where))
    return LinkSets.of(marked["-"], marked["p"])


def check_ranges(pairs: Iterable[tuple[LinkSets, int, int]], where: str) -> None:
    """Refuse links to words that a sentence doesn't have.

    Parameters
    ----------
    pairs
        The links of each pair, with the numbers of its source and target words.
    where
        What an error calls the file.

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
                    f"have {sources} and {targets} words. Check the order of the languages and the number that counting "
                    "starts from."
                )


def _cell(source: int, target: int, base: int, token: str, where: str) -> Cell:
    if source < base or target < base:
        raise InvalidInput(
            f"{where}: {token!r} has a word before number {base}, where counting was said to start. If the file counts "
            f"from {1 - base}, say so."
        )
    return source - base, target - base


def _from_json(line: str, base: int, where: str) -> LinkSets:
    try:
        record = json.loads(line)
        links: Sequence[Any] = record["links"]
        sure: Sequence[Any] = record.get("sure", [True] * len(links))
        cells = [_cell(int(link[0]), int(link[1]), base, str(link), where) for link in links]
        certain = [cell for cell, flag in zip(cells, sure, strict=True) if flag]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise InvalidInput(
            f'{where}: the JSON object holds no links that can be read ({error}); expected {{"links": [[0, 0, 0.9], …]}}.'
        ) from error
    return LinkSets.of(certain, cells)
