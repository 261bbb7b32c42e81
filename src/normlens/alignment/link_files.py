"""Files of links as people have them: a line for each sentence pair, numbered or not, or NAACL's line for each link."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from normlens.alignment.formats import cell, parse_links
from normlens.alignment.links import Cell, LinkSets
from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

_NAACL = re.compile(r"(\d{1,9})[ \t]+(\d{1,9})[ \t]+(\d{1,9})(?:[ \t]+([SP]))?(?:[ \t]+[0-9.eE+-]+)?", re.ASCII)
_NUMBERED = re.compile(r"(\d{1,9})[:.)]?(?:[ \t]+(.*))?", re.ASCII)
_FEW = 10  # pairs that may all leave out their first words


class LinkFile:
    """A file of links; may be read any number of times.

    Parameters
    ----------
    path
        Pharaoh, ``.talp`` or JSON lines, one for each sentence pair, each of them numbered or none; or NAACL's ``.wa``, with
        lines of sentence, source word, target word, and ``S`` (sure, also where nothing is said) or ``P`` (possible).
    base
        The number of the first word, 0 or 1. None: 1 for ``.wa``, as NAACL says, otherwise 0.

    Raises
    ------
    InvalidInput
        If the file can't be read.

    Attributes
    ----------
    names_pairs
        Whether its lines name their pairs, as those of ``.wa`` do, so that pairs without links are left out.
    base
        The number of the first word.
    """

    def __init__(self, path: str | Path, base: int | None = None) -> None:
        self.path, self._is_sure_of_base = Path(path), base is not None
        self._lines = list(_lines_of(self.path))  # read once, since it may be a pipe
        first = next((line for _, line in self._lines if line.strip()), "")
        self.names_pairs = _NAACL.fullmatch(first.strip()) is not None
        self._ahead = None if self.names_pairs else self._ahead_of_lines()
        self.base = base if base is not None else int(self.names_pairs)

    def read(self, pairs: int | None = None) -> list[LinkSets]:
        """The links of every sentence pair, words from 0.

        Parameters
        ----------
        pairs
            How many pairs there are, where that is known; a file that names its pairs may end before the last.

        Raises
        ------
        InvalidInput
            Naming file, line and token of what is no link; or if every number suggests that words are counted from 1 where
            nobody said from what.
        """
        found = self._read_naacl() if self.names_pairs else list(self._read_lines())
        if self.names_pairs and pairs is not None:
            found += [LinkSets.of(())] * (pairs - len(found))
        if not self._is_sure_of_base and not self.base:
            self._require_first_words(found)
        return found

    def _read_lines(self) -> Iterator[LinkSets]:
        for number, line in self._lines:
            where = f"{self.path}, line {number}"
            yield parse_links(line if self._ahead is None else self._unnumbered(line, number), self.base, where)

    def _unnumbered(self, line: str, number: int) -> str:
        """A line without its own number, which is right."""
        found = _numbered(line)
        if found is None or int(found[1]) - number != self._ahead:
            seen = "no number" if found is None else f"the number {found[1]}"
            raise InvalidInput(
                f"{self.path}, line {number} has {seen}, but the first line of the file has one; expected every line to be "
                "numbered in order, or none."
            )
        return found[2] or ""

    def _ahead_of_lines(self) -> int | None:
        """How far the numbers of its lines are ahead of the lines, 0 or -1; None if they aren't numbered."""
        line = next((line for _, line in self._lines), "")
        found = _numbered(line)
        return None if found is None else 0 if int(found[1]) else -1

    def _read_naacl(self) -> list[LinkSets]:
        sure: dict[int, list[Cell]] = {}
        possible: dict[int, list[Cell]] = {}
        for number, line in self._lines:
            if not line.strip():
                continue
            where, token = f"{self.path}, line {number}", line.strip()
            found = _NAACL.fullmatch(token)
            if found is None or not int(found[1]):
                raise InvalidInput(
                    f"{where}: {token!r} is no link of a .wa file; expected the numbers of the sentence pair (from 1), of a "
                    "source and of a target word, and S or P, such as 1 3 4 S."
                )
            if self.base and not (int(found[2]) and int(found[3])):
                raise InvalidInput(
                    f"{where}: {token!r} has word 0. In a file counted from 1 it stands for no word: leave that line out. "
                    "In one counted from 0 it is the first: say so (--gold-base 0 or --hyp-base 0; base= in Python)."
                )
            of_pair = possible if found[4] == "P" else sure
            of_pair.setdefault(int(found[1]), []).append(cell(int(found[2]), int(found[3]), self.base, token, where))
        last = max(chain(sure, possible), default=0)
        if last > _most_pairs(sure, possible):
            raise InvalidInput(
                f"{self.path} names a sentence pair {last}, but has links of {len(sure.keys() | possible.keys())} pairs. "
                "Check its first column."
            )
        return [LinkSets.of(sure.get(k, ()), possible.get(k, ())) for k in range(1, last + 1)]

    def _require_first_words(self, found: Iterable[LinkSets]) -> None:
        pairs = [links.possible for links in found if links.possible]
        if len(pairs) >= _FEW and all(source and target for links in pairs for source, target in links):
            raise InvalidInput(
                f"{self.path} links no first word in any of {len(pairs)} sentence pairs: its words seem to be counted from "
                "1. Say from what: --hyp-base 1, or --hyp-base 0 if that is right (base= in Python)."
            )


def read_links(path: str | Path, base: int | None = None) -> Iterator[LinkSets]:
    """Read a file of links; see :class:`LinkFile`.

    Parameters
    ----------
    path, base
        As there.

    Yields
    ------
    LinkSets
        One for each sentence pair, with words from 0.

    Raises
    ------
    InvalidInput
        If the file can't be read, or holds something that is no link: file, line and token are named.
    """
    yield from LinkFile(path, base).read()


def _numbered(line: str) -> re.Match[str] | None:
    """The number in front of a line's links, if there is one."""
    return _NUMBERED.fullmatch(line.strip())


def _most_pairs(*links: dict[int, list[Cell]]) -> int:
    """How many pairs a file may name: far more than it has links of, but not so many that only a slip explains them."""
    return 1000 + 100 * len({pair for of in links for pair in of})


def _lines_of(path: Path) -> Iterator[tuple[int, str]]:
    try:
        refuse_unreadable(path)
        with path.open(encoding="utf-8-sig") as file:
            yield from enumerate(file, start=1)
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}). Expected lines such as 0-0 1p2."
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} can't be read: {reason(error)}. Check the path.") from error
