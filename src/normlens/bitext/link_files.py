"""Link files in the usual formats: one line per sentence pair, numbered or not, or NAACL's one line per link."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from normlens.bitext.formats import cell, parse_links
from normlens.bitext.links import Cell, LinkSets
from normlens.errors import InvalidInput
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

_NAACL = re.compile(r"(\d{1,9})[ \t]+(\d{1,9})[ \t]+(\d{1,9})(?:[ \t]+([SP]))?(?:[ \t]+[0-9.eE+-]+)?", re.ASCII)
_NUMBERED = re.compile(r"(\d{1,9})[:.)]?(?:[ \t]+(.*))?", re.ASCII)
_ENOUGH_PAIRS = 10  # fewer pairs may all leave their first words unlinked by chance


class LinkFile:
    """A file of links; can be read any number of times.

    Parameters
    ----------
    path
        Pharaoh, ``.talp`` or JSON lines, one per sentence pair, all numbered or none; or NAACL's ``.wa``, with lines of
        sentence, source word, target word, and ``S`` (sure, the default) or ``P`` (possible).
    base
        The number of the first word, 0 or 1. None: 1 for ``.wa``, as NAACL says, otherwise 0.

    Raises
    ------
    InvalidInput
        If the file can't be read.

    Attributes
    ----------
    names_pairs
        Whether each line names its sentence pair, as in ``.wa``, where pairs without links are left out.
    base
        The number of the first word.
    """

    def __init__(self, path: str | Path, base: int | None = None) -> None:
        self.path, self._is_base_set = Path(path), base is not None
        self._lines = list(_lines_of(self.path))  # read once, since it may be a pipe
        first = next((line for _, line in self._lines if line.strip()), "")
        self.names_pairs = _NAACL.fullmatch(first.strip()) is not None
        self._offset = None if self.names_pairs else self._number_offset()
        self.base = base if base is not None else int(self.names_pairs)

    def read(self, pairs: int | None = None) -> list[LinkSets]:
        """The links of every sentence pair, words from 0.

        Parameters
        ----------
        pairs
            The number of pairs, if known; a file that names its pairs may end before the last.

        Raises
        ------
        InvalidInput
            If an entry isn't a link (the message names file, line and token), or if `base` was left out and all numbers
            suggest that words are counted from 1.
        """
        links = self._read_naacl() if self.names_pairs else list(self._read_lines())
        if self.names_pairs and pairs is not None:
            links += [LinkSets.from_links(())] * (pairs - len(links))
        if not self._is_base_set and not self.base:
            self._require_first_words(links)
        return links

    def _read_lines(self) -> Iterator[LinkSets]:
        for number, line in self._lines:
            where = f"{self.path}, line {number}"
            yield parse_links(line if self._offset is None else self._unnumbered(line, number), self.base, where)

    def _unnumbered(self, line: str, number: int) -> str:
        """The line without its number, after checking the number."""
        match = _numbered(line)
        if match is None or int(match[1]) - number != self._offset:
            seen = "no number" if match is None else f"the number {match[1]}"
            raise InvalidInput(
                f"{self.path}, line {number} has {seen}, but the first line of the file is numbered; expected all lines to "
                "be numbered in order, or none."
            )
        return match[2] or ""

    def _number_offset(self) -> int | None:
        """The written line numbers minus the true ones (from 1): 0 or -1; None if lines aren't numbered."""
        line = next((line for _, line in self._lines), "")
        match = _numbered(line)
        return None if match is None else 0 if int(match[1]) else -1

    def _read_naacl(self) -> list[LinkSets]:
        sure: dict[int, list[Cell]] = {}
        possible: dict[int, list[Cell]] = {}
        for number, line in self._lines:
            if not line.strip():
                continue
            where, token = f"{self.path}, line {number}", line.strip()
            match = _NAACL.fullmatch(token)
            if match is None or not int(match[1]):
                raise InvalidInput(
                    f"{where}: {token!r} is not a link of a .wa file; expected the numbers of sentence pair (from 1), "
                    "source word and target word, then S or P, such as 1 3 4 S."
                )
            if self.base and not (int(match[2]) and int(match[3])):
                raise InvalidInput(
                    f"{where}: {token!r} has word 0. If words are counted from 1, it stands for no word: leave that line "
                    "out. If they are counted from 0, set that (--gold-base 0 or --hyp-base 0; base=0 in Python)."
                )
            cells = possible if match[4] == "P" else sure
            cells.setdefault(int(match[1]), []).append(cell(int(match[2]), int(match[3]), self.base, token, where))
        last = max(chain(sure, possible), default=0)
        if last > _most_pairs(sure, possible):
            raise InvalidInput(
                f"{self.path} names sentence pair {last}, but has links for only {len(sure.keys() | possible.keys())} "
                "pairs. Check its first column."
            )
        return [LinkSets.from_links(sure.get(k, ()), possible.get(k, ())) for k in range(1, last + 1)]

    def _require_first_words(self, sets: Iterable[LinkSets]) -> None:
        pairs = [links.possible for links in sets if links.possible]
        if len(pairs) >= _ENOUGH_PAIRS and all(source and target for links in pairs for source, target in links):
            raise InvalidInput(
                f"{self.path} links no first word in any of its {len(pairs)} sentence pairs, so its words seem to be "
                "counted from 1. State the number of the first word: --hyp-base 1, or --hyp-base 0 (base= in Python)."
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
        If the file can't be read, or has an entry that isn't a link; the message names file, line and token.
    """
    yield from LinkFile(path, base).read()


def _numbered(line: str) -> re.Match[str] | None:
    """The match of a line that begins with its number, if it does."""
    return _NUMBERED.fullmatch(line.strip())


def _most_pairs(*links: dict[int, list[Cell]]) -> int:
    """The largest plausible number of a pair: far more than there are links for; beyond it, the column must be wrong."""
    return 1000 + 100 * len({pair for by_pair in links for pair in by_pair})


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
