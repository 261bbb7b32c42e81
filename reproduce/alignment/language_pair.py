"""Another language pair, and little text: French–German of Multi30k, aligned by fitted models and by eflomal.

``python -m reproduce language-pair --data DATA --work FOLDER``. From 1,000, 5,000 and 29,000 pairs: both aligners read
exactly the text that they align, and their links of the first 1,000 pairs are compared with two references that nobody
annotated. FOLDER keeps models and links; a killed run resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sacremoses import MosesTokenizer

import normlens
from normlens import NormLensError
from normlens.alignment import Extractor, LinkSets, Reading, difference, evaluate, joint_links, symmetrize
from normlens.bitext.eflomal import link_files
from normlens.translation import TrainingText, train
from reproduce.alignment.eflomal import lines
from reproduce.alignment.language_pair_page import draw, page
from reproduce.alignment.models import Cells
from reproduce.alignment.references import consensus, directions_of_file, pivot, within
from reproduce.study.options import add_data, run_study, study_parser
from reproduce.training.translation import Printed

NAME = "language_pair"
SOURCE, TARGET, BRIDGE = "fr", "de", "en"
AMOUNTS = (1000, 5000, 29000)
COMPARED = 1000
"""The first pairs, which every text has."""

RUNS = 2
"""Runs of eflomal, which is random, that the consensus is of."""

RESAMPLES = 1000
HOW = "grow-diag"
BALANCES = (0.0, 0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the amounts of text named on the command line, keep the numbers, and write page and figure.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    parser = pair_parser(__doc__)
    parser.add_argument("--pairs", nargs="+", type=int, default=AMOUNTS, help="amounts of text (default: %(default)s)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def pair_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the folders of the data and of the work."""
    parser = study_parser(description)
    add_data(parser, "multi30k")
    parser.add_argument("--work", type=Path, help="folder for text, models and links")
    return parser


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if options.work is None:
        raise NormLensError("Name a folder for text, models and links with --work.")
    text = MultilingualText(options.data / "multi30k", options.work)
    references = text.references()
    for pairs in options.pairs:
        yield f"pairs {pairs}", _compared(text, pairs, references)


class MultilingualText:
    """The captions in three languages, as words.

    Parameters
    ----------
    data
        Folder with ``train.fr``, ``val.fr`` and so on.
    work
        Folder for everything that is written.
    """

    def __init__(self, data: Path, work: Path) -> None:
        self.data, self.work = data, work
        work.mkdir(parents=True, exist_ok=True)

    def first(self, pairs: int) -> tuple[Path, Path]:
        """The first pairs of the training set, as files of words."""
        files = tuple(self.work / f"m{pairs}.{side}" for side in (SOURCE, TARGET))
        for side, path in zip((SOURCE, TARGET), files, strict=True):
            if not path.exists():
                moses = MosesTokenizer(side)
                words = (moses.tokenize(line, escape=False, return_str=True) for line in self._train(side, pairs))
                path.write_text("".join(f"{sentence}\n" for sentence in words), encoding="utf-8")
        return files[0], files[1]

    def all(self, side: str) -> Path:
        """All sentences of a language, lowercased words."""
        path = self.work / f"all.{side}"
        if not path.exists():
            moses = MosesTokenizer(side)
            names = ("train", "val", "test_2016_flickr", "test_2017_flickr")
            sentences = itertools.chain.from_iterable(_sentences(self.data / f"{name}.{side}") for name in names)
            words = (moses.tokenize(line, escape=False, return_str=True).lower() for line in sentences)
            path.write_text("".join(f"{sentence}\n" for sentence in words), encoding="utf-8")
        return path

    def references(self) -> dict[str, list[LinkSets]]:
        """Links of the compared pairs without annotation, by eflomal on all of the text: see `references`."""
        own = [self._linked(SOURCE, TARGET, run + 1) for run in range(RUNS)]
        over = self._linked(SOURCE, BRIDGE, 1), self._linked(BRIDGE, TARGET, 1)
        return {"consensus": consensus(own), "pivot": pivot(*over)}

    def _linked(self, source: str, target: str, run: int) -> list[tuple[Cells, Cells]]:
        ahead, back = (self.work / f"links.{source}-{target}.{run}.{name}" for name in ("forward", "reverse"))
        if not (ahead.exists() and back.exists()):
            link_files(self.all(source), self.all(target), ahead, back)
        return directions_of_file(ahead, back, COMPARED)

    def _train(self, side: str, pairs: int) -> Iterator[str]:
        return itertools.islice(_sentences(self.data / f"train.{side}"), pairs)


def _sentences(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from (line.strip() for line in file)


def _compared(text: MultilingualText, pairs: int, references: dict[str, list[LinkSets]]) -> dict[str, Any]:
    """Both aligners on an amount of text, against both references."""
    files = text.first(pairs)
    models = train(
        TrainingText([files], SOURCE, TARGET, lowercase=True),
        text.work / f"models-{pairs}",
        both=True,
        reporter=Printed(),
        guide="eflomal",
    )
    statistical = by_eflomal(files, text.work / f"eflomal-{pairs}")
    rows = [_row("eflomal", "", statistical, references, None)]
    for measure, balance, links in by_models(models.forward, models.reverse or models.forward, files):
        rows.append(_row(measure, f"{balance:g}", links, references, statistical))
    training = [
        json.loads((folder / "training.json").read_text()) for folder in (models.forward, models.reverse) if folder
    ]
    return {"pairs": pairs, "rows": rows, "cpu_seconds": sum(one["cpu_seconds"] for one in training)}


def by_eflomal(files: tuple[Path, Path], folder: Path) -> list[Cells]:
    """The links of eflomal on the text alone."""
    folder.mkdir(exist_ok=True)
    ahead, back = folder / "links.forward", folder / "links.reverse"
    if not (ahead.exists() and back.exists()):
        lowered = [folder / path.name for path in files]
        for path, copy in zip(files, lowered, strict=True):
            copy.write_text(path.read_text(encoding="utf-8").lower(), encoding="utf-8")
        link_files(lowered[0], lowered[1], ahead, back)
    return [symmetrize(one, other, HOW) for one, other in directions_of_file(ahead, back, COMPARED)]


def by_models(forward: Path, reverse: Path, files: tuple[Path, Path]) -> Iterator[tuple[str, float, list[Cells]]]:
    """The links of the fitted models, by each measure and balance."""
    ahead, back = (Extractor(normlens.load(str(folder))) for folder in (forward, reverse))
    words = [lines(path)[:COMPARED] for path in files]
    pairs = [ahead.pair(source, target) for source, target in zip(*words, strict=True)]
    turned = [back.pair(target, source) for source, target in zip(*words, strict=True)]
    for reading in (Reading(0), Reading(0).by("weight")):
        soft = list(zip(ahead.soft(pairs, reading), back.soft(turned, reading), strict=True))
        for balance in BALANCES:
            links = [{link[:2] for link in joint_links(one, other, HOW, balance=balance)} for one, other in soft]
            yield reading.measure, balance, links


def _row(
    name: str,
    balance: str,
    links: Sequence[Cells],
    references: dict[str, list[LinkSets]],
    rival: Sequence[Cells] | None,
) -> dict[str, Any]:
    row: dict[str, Any] = {"aligner": name, "balance": balance}
    for reference, gold in references.items():
        limit = reference == "pivot"
        sets = [
            LinkSets.from_links(within(cells, one) if limit else cells) for cells, one in zip(links, gold, strict=True)
        ]
        measured = evaluate(gold, sets, resamples=RESAMPLES)
        row[reference] = {
            **{field: round(100 * getattr(measured, field), 2) for field in ("aer", "precision", "recall")},
            "interval": [round(100 * x, 2) for x in measured.aer_interval],
        }
        if rival is not None:
            others = [LinkSets.from_links(within(c, one) if limit else c) for c, one in zip(rival, gold, strict=True)]
            apart = difference(gold, sets, others)
            row[reference]["minus_eflomal"] = [round(100 * x, 2) for x in (apart.aer, *apart.aer_interval)]
    return row
