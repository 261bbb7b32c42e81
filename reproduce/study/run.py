"""One finding: measured on each model, kept as JSON, and written as a page with published numbers and ours."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from huggingface_hub import HfApi
from matplotlib.figure import Figure

import normlens
from normlens import Lens, NormLensError
from normlens.loading.catalog import BUNDLED, available_models
from normlens.statistics import COLUMNS
from normlens.statistics.report.estimates import Estimates
from reproduce.data.corpora import Corpus, read_corpus
from reproduce.study.estimates import table
from reproduce.study.kept import kept, numbers_of, printed, replace, write
from reproduce.study.options import add_data, study_parser
from reproduce.study.page import fill

BERT = "google-bert/bert-base-uncased"


@dataclass
class Reading:
    """A corpus read by a model: iterate over its analyzed sentences.

    Attributes
    ----------
    lens, corpus
        The model and its sentences.
    data_folder
        Folder of frequency tables, or None.
    seed, resamples
        Of the bootstrap over sentences.
    tokens
        Number of tokens read so far.
    conservation_error
        The largest error so far.
    about
        Model type, dtype and versions, after the first sentence.
    """

    lens: Lens
    corpus: Corpus
    data_folder: Path | None = None
    seed: int = 0
    resamples: int = 500
    tokens: int = 0
    conservation_error: float = math.nan
    about: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[xr.Dataset]:
        for analysis in self.lens.analyze(self.corpus.texts, progress=sys.stderr.isatty()):
            data = analysis[analysis.groups[0]].data
            self.tokens += data.sizes["target"]
            self.conservation_error = float(np.fmax(self.conservation_error, analysis.conservation_error))
            kept = ("model_type", "revision", "dtype", "normlens", "torch", "transformers")
            self.about = self.about or {name: str(analysis.attrs[name]) for name in kept if analysis.attrs.get(name)}
            yield data


@dataclass(frozen=True)
class Entry:
    """The results of one model.

    Attributes
    ----------
    model
        Its name.
    about
        The corpus, the seed, versions.
    table
        Numbers with the columns of `normlens.statistics.COLUMNS`.
    """

    model: str
    about: dict[str, Any]
    table: pd.DataFrame

    @property
    def numbers(self) -> Estimates:
        """The table's numbers by quantity, category and layer."""
        return Estimates(self.table)


Entries = Mapping[str, Entry]


@dataclass(frozen=True)
class Finding:
    """A published finding, its measurement and its presentation.

    Attributes
    ----------
    name
        Name of the study and of its folder.
    title
        First line of the page.
    measure
        Function from a reading to a table with the columns of `normlens.statistics.COLUMNS`.
    numbers
        Function from the entries of all models to the variables of the template ``norms/<name>.md.jinja``.
    figures
        Function from the entries to figures by the name of their file.
    """

    name: str
    title: str
    measure: Callable[[Reading], pd.DataFrame]
    numbers: Callable[[Entries], dict[str, Any]]
    figures: Callable[[Entries], dict[str, Figure]]


def reproduce(finding: Finding, arguments: Sequence[str] | None = None) -> int:
    """Measure a finding on the models named on the command line, print it and keep it.

    A model's earlier numbers stay until that model is measured again, so a run may measure one model at a time.

    Parameters
    ----------
    finding
        The finding to reproduce.
    arguments
        Command line. Default: that of the process.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    options = _options(finding, arguments)

    def work() -> str:
        corpus = read_corpus(options.corpus, options.data, options.limit)
        for model in () if options.redraw else options.models or _default_models():
            if _needs_network(model):
                print(f"{model}: its numbers need a network, and the Hub can't be reached from here.", file=sys.stderr)
                continue
            reading = Reading(normlens.load(model), corpus, options.data, options.seed, options.resamples)
            _keep(finding, Path(model).name, finding.measure(reading), reading, options.output)
        entries = entries_of(finding, options.output)
        if not entries:
            raise NormLensError(
                "No model was measured, and there is no earlier result. Pass --models with a model that can be loaded."
            )
        return write(finding.name, page(finding, entries), _figures(finding, entries), options.output)

    return printed(work)


def _options(finding: Finding, arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = study_parser(finding.title)
    parser.add_argument("--models", nargs="+", help=f"default: the bundled models, and {BERT} if the Hub is reachable")
    parser.add_argument(
        "--corpus", type=Path, help="one sentence per line, or CoNLL-U (default: 100 bundled sentences)"
    )
    add_data(
        parser,
        "ud_pud/en_pud-ud-test.conllu (the corpus, unless --corpus) and frequency/bert_uncased_rank_count_id.txt",
    )
    parser.add_argument("--limit", type=int, help="number of sentences, spread evenly over the corpus (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the bootstrap (default: 0)")
    parser.add_argument("--resamples", type=int, default=500, help="resamples of the bootstrap (default: 500)")
    return parser.parse_args(arguments)


def _default_models() -> list[str]:
    return [*BUNDLED, BERT]


def _needs_network(model: str) -> bool:
    """Whether a model is neither on disk nor downloadable."""
    if model in BUNDLED or Path(model).exists():
        return False
    if any(row.name == model and row.installed for row in available_models()):
        return False
    try:
        HfApi().model_info(model, timeout=5)
    except Exception:
        return True
    return False


def _keep(finding: Finding, model: str, measured: pd.DataFrame, reading: Reading, folder: Path) -> None:
    """Write one model's numbers to the finding's JSON file, in place of its earlier ones."""
    path = numbers_of(finding.name, folder)
    numbers = measured[measured["head"].isna()].drop(columns="head").astype(object)
    models = kept(path)
    models[model] = {
        "corpus": reading.corpus.name,
        "sentences": len(reading.corpus.texts),
        "tokens": reading.tokens,
        "seed": reading.seed,
        "resamples": reading.resamples,
        "conservation_error": _rounded(reading.conservation_error),
        **reading.about,
        "columns": list(numbers.columns),
        "numbers": [[_rounded(cell) for cell in row] for row in numbers.to_numpy()],
    }
    replace(path, _one_line_per_number(models))


def _one_line_per_number(models: Mapping[str, Mapping[str, Any]]) -> str:
    """The models as JSON that a person can read and git can compare."""
    blocks = []
    for model, entry in models.items():
        about = json.dumps({name: value for name, value in entry.items() if name != "numbers"}, ensure_ascii=False)
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in entry["numbers"])
        blocks.append(f'{json.dumps(model)}: {about[:-1]}, "numbers": [\n{rows}\n]}}')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


def _rounded(cell: object) -> object:
    """Six digits of a number; None for NaN, which JSON lacks."""
    if not isinstance(cell, float | np.floating):
        return None if cell is pd.NA else cell
    return None if math.isnan(cell) else float(f"{cell:.6g}")


def entries_of(finding: Finding, folder: Path) -> dict[str, Entry]:
    """Every model's numbers, bundled models first."""
    models = kept(numbers_of(finding.name, folder))
    entries = {}
    for model in sorted(models, key=lambda name: [*BUNDLED, name].index(name)):
        about = dict(models[model])
        frame = pd.DataFrame(about.pop("numbers"), columns=about.pop("columns")).assign(head=None)
        entries[model] = Entry(model, about, table(frame[list(COLUMNS)].itertuples(index=False, name=None)))
    return entries


def page(finding: Finding, entries: Entries) -> str:
    """The finding's page, with the measured models and texts."""
    return fill(
        f"norms/{finding.name}.md.jinja",
        title=finding.title,
        measured={
            entry.model: {**entry.about, "error": _error(entry.about["conservation_error"])}
            for entry in entries.values()
        },
        missing=None if Path(BERT).name in entries else BERT,
        **finding.numbers(entries),
    )


def _figures(finding: Finding, entries: Entries) -> dict[str, Figure]:
    """The finding's figures by name; the only one has the finding's."""
    return {name or finding.name: figure for name, figure in finding.figures(entries).items()}


def _error(largest: float | None) -> str:
    """The largest conservation error, formatted for a page."""
    if largest is None:
        return "not measured"
    return f"{largest:.1e}" if largest else "0 (the same bits)"
