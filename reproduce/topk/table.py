"""How few sources a target needs, and how to rank them: models whose attention keeps k sources per target.

Each part is measured separately, passage by passage, and kept: a run that was stopped, or is started again with more
passages, continues with the missing ones. Page and figures are drawn from kept results.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import normlens
from reproduce.data.classified_texts import read_classified
from reproduce.data.listops import by_first_word, read_listops
from reproduce.study.kept import keep, kept, measure_of, numbers_of, tabulate
from reproduce.study.options import add_data, study_parser
from reproduce.topk.choices import KS
from reproduce.topk.controls import choices_grid
from reproduce.topk.figures import draw
from reproduce.topk.needed import needed
from reproduce.topk.page import page
from reproduce.topk.quality import classified, grid, layer_grid, over_passages, passages_of, powers_of_two
from reproduce.training.listops import reports

NAME = "topk"
DECODER, ENCODER = "smollm2-135m", "minilm-l6"
LONG_KS, LONG_OTHERS = (4, 16, 32, 64, 128, 256, 512), (16, 64)
"""Values of k for long passages: by weight and by norm, and at random and by nearness."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts named on the command line, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    options = _options(arguments)
    return tabulate(NAME, options.output, () if options.redraw else _measured(options), page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """Nothing: each part keeps its measurements as it runs, so that it can resume."""
    measures = Parts(options).all()
    for part in options.parts or measures:
        print(part, file=sys.stderr, flush=True)
        measure_of(part, measures)(part)
    yield from ()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = study_parser(__doc__)
    add_data(parser, "sst/ and listops/")
    parser.add_argument(
        "--parts", nargs="+", help="predictions, layers, embeddings, … (default: all whose data are available)"
    )
    parser.add_argument("--text", type=Path, help="a text, or CoNLL-U (default: the bundled sentences, joined)")
    parser.add_argument("--tokens", type=int, default=256, help=f"tokens per passage for {DECODER} (default: 256)")
    parser.add_argument("--passages", type=int, default=4, help=f"most passages for {DECODER} (default: 4)")
    parser.add_argument(
        "--long-tokens", type=int, default=1024, help=f"tokens per long passage for {DECODER} (default: 1024)"
    )
    parser.add_argument("--long-passages", type=int, default=2, help=f"most long passages for {DECODER} (default: 2)")
    parser.add_argument(
        "--layer-passages", type=int, default=1, help=f"most passages for {DECODER}, layer by layer (default: 1)"
    )
    parser.add_argument("--layer-k", type=int, default=4, help="k when a single layer is switched (default: 4)")
    parser.add_argument(
        "--choice-passages", type=int, default=10, help=f"most passages for {DECODER}'s other choices (default: 10)"
    )
    parser.add_argument(
        "--encoder-tokens", type=int, default=128, help=f"tokens per passage for {ENCODER} (default: 128)"
    )
    parser.add_argument("--encoder-passages", type=int, default=64, help=f"most passages for {ENCODER} (default: 64)")
    parser.add_argument("--classifier", type=Path, help="folder of a classifier fine-tuned on SST")
    parser.add_argument("--texts", type=int, default=400, help="number of SST test sentences (default: 400)")
    parser.add_argument("--listops", type=Path, help="folder with the trainings of train-listops")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


class Parts:
    """The functions that measure each part and keep it.

    Parameters
    ----------
    options
        Options of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._path = options, numbers_of(NAME, options.output)

    def all(self) -> dict[str, Callable[[str], None]]:
        """Every part by its name, except those whose data were not passed."""
        options = self._options
        decoder, encoder = (options.tokens, options.passages), (options.encoder_tokens, options.encoder_passages)
        long = options.long_tokens, options.long_passages
        measures: dict[str, Callable[[str], None]] = {
            "embeddings": partial(self._quality, ENCODER, *encoder),
            f"layers of {ENCODER}": partial(self._quality, ENCODER, *encoder, k=options.layer_k),
            f"needed {ENCODER}": partial(self._needed, ENCODER, encoder[0], min(encoder[1], 16)),
            f"needed {DECODER}": partial(self._needed, DECODER, *decoder),
            "predictions": partial(self._quality, DECODER, *decoder),
            "long predictions": partial(self._quality, DECODER, *long, ks=LONG_KS, others=LONG_OTHERS),
            f"choices of {ENCODER}": partial(self._choices, ENCODER, *encoder, sinks=(0, -1)),
            f"choices of {DECODER}": partial(
                self._choices, DECODER, options.tokens, options.choice_passages, sinks=(0,)
            ),
            f"layers of {DECODER}": partial(
                self._quality, DECODER, options.tokens, options.layer_passages, k=options.layer_k
            ),
        }
        if options.classifier and options.data:
            measures["classifier"] = self._classifier
        if options.listops:
            measures["listops"] = self._listops
        return measures

    def _quality(
        self,
        model: str,
        tokens: int,
        passages: int,
        part: str,
        k: int | None = None,
        ks: Sequence[int] | None = None,
        others: Sequence[int] | None = None,
    ) -> None:
        """All layers switched, at these or all powers of two; or with a k one layer at a time."""
        lens = normlens.load(model)
        read = passages_of(lens, self._options.text, tokens, passages)
        layers = lens.model.config.num_hidden_layers
        ks = powers_of_two(read.tokens) if ks is None else [number for number in ks if number < read.tokens]
        others = others if others is None else [number for number in others if number in ks]
        settings = grid(ks, others) if k is None else layer_grid(k, layers)
        about = {"model": model, "ks": ks} if k is None else {"model": model, "k": k, "layers": layers}
        batch = 1 if model == DECODER else 16
        over_passages(lens, read, settings, self._earlier(part), self._keeping(part, **about), batch)

    def _choices(self, model: str, tokens: int, passages: int, part: str, sinks: Sequence[int]) -> None:
        """Every measure with both denominators, and the controls, on all layers."""
        lens = normlens.load(model)
        read = passages_of(lens, self._options.text, tokens, passages)
        ks = [number for number in KS if number < read.tokens]
        batch = 1 if model == DECODER else 16
        keeping = self._keeping(part, model=model, ks=ks)
        over_passages(lens, read, choices_grid(ks, sinks), self._earlier(part), keeping, batch)

    def _needed(self, model: str, tokens: int, passages: int, part: str) -> None:
        lens = normlens.load(model)
        read = passages_of(lens, self._options.text, tokens, passages)
        self._keeping(part, model=model)(needed(lens, read, self._options.seed))

    def _classifier(self, part: str) -> None:
        lens = normlens.load(self._options.classifier)
        texts = read_classified("sst", self._options.data).test.limited(self._options.texts)
        ks = powers_of_two(32)
        classified(lens, texts, grid(ks), self._earlier(part), self._keeping(part, ks=ks))

    def _listops(self, part: str) -> None:
        """All trainings; with the data, also the accuracy of the outermost operator alone."""
        trainings, data = reports(self._options.listops), self._options.data
        lengths = sorted({training["settings"]["length"] for training in trainings})
        baselines = {
            length: by_first_word(*(read_listops(data, length, of) for of in ("train", "val")))
            for length in (lengths if data else ())
        }
        keep(self._path, part, {"trainings": trainings, "by_first_word": baselines})

    def _earlier(self, part: str) -> Mapping[str, Any]:
        earlier: Mapping[str, Any] = kept(self._path).get(part, {})
        return earlier

    def _keeping(self, part: str, **about: Any) -> Callable[[Mapping[str, Any]], None]:
        described = {**about, "text": _called(self._options.text), "seed": self._options.seed}
        return lambda result: keep(self._path, part, {**described, **result})


def _called(text: Path | None) -> str:
    return "the bundled sentences, joined" if text is None else text.name
