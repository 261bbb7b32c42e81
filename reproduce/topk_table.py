"""How few sources a target needs, and by what they should be chosen: models whose attention keeps k sources per target.

Each part is measured by itself, passage by passage, and kept: a run that was stopped, or is started again with more
passages, goes on with what is missing. Page and figures are drawn of what is kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from classified_texts import read_classified
from finding import RESULTS
from parts import keep, kept, write
from topk_figures import draw
from topk_needed import needed
from topk_page import page
from topk_quality import classified, grid, layer_grid, over_passages, passages_of, powers_of_two
from train_listops import reports

import normlens
from normlens import NormLensError

NAME = "topk_table"
DECODER, ENCODER = "smollm2-135m", "minilm-l6"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts that the command line names, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    measures = Parts(options := _options(arguments)).all()
    path = options.output / f"{NAME}.json"
    try:
        for part in () if options.redraw else options.parts or measures:
            if part not in measures:
                raise NormLensError(f"There is no part {part!r}; expected some of {', '.join(measures)}.")
            print(part, file=sys.stderr, flush=True)
            measures[part](part)
        found = kept(path)
        if not found:
            raise NormLensError("No result is kept. Run without --redraw.")
        print(write(NAME, page(found), draw(found), options.output))
    except NormLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    data = os.environ.get("NORMLENS_DATA")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--parts", nargs="+", help="predictions, layers, embeddings, … (default: all whose data are there)"
    )
    parser.add_argument("--text", type=Path, help="a text, or CoNLL-U (default: the bundled sentences, joined)")
    parser.add_argument("--tokens", type=int, default=1024, help=f"of a passage for {DECODER} (default: 1024)")
    parser.add_argument("--passages", type=int, default=2, help=f"for {DECODER} at most (default: 2)")
    parser.add_argument("--short-tokens", type=int, default=256, help="of its passages layer by layer (default: 256)")
    parser.add_argument("--layer-k", type=int, default=4, help="sources where one layer is switched (default: 4)")
    parser.add_argument("--encoder-tokens", type=int, default=128, help=f"of a passage for {ENCODER} (default: 128)")
    parser.add_argument("--encoder-passages", type=int, default=64, help=f"for {ENCODER} at most (default: 64)")
    parser.add_argument("--classifier", type=Path, help="folder of a fine-tuned classifier of SST's sentences")
    parser.add_argument(
        "--data", type=Path, default=Path(data) if data else None, help="has sst/ (default: $NORMLENS_DATA)"
    )
    parser.add_argument("--texts", type=int, default=400, help="of SST's test part (default: 400)")
    parser.add_argument("--listops", type=Path, help="folder in which train_listops.py left its trainings")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--redraw", action="store_true", help="measure nothing; write page and figures anew")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: %(default)s)")
    return parser.parse_args(arguments)


class Parts:
    """What measures each part and keeps it.

    Parameters
    ----------
    options
        Of the command line.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options, self._path = options, options.output / f"{NAME}.json"

    def all(self) -> dict[str, Callable[[str], None]]:
        """Every part by its name; one whose data weren't named is not among them."""
        options = self._options
        decoder, encoder = (options.tokens, options.passages), (options.encoder_tokens, options.encoder_passages)
        found: dict[str, Callable[[str], None]] = {
            "embeddings": partial(self._quality, ENCODER, *encoder),
            f"layers of {ENCODER}": partial(self._quality, ENCODER, *encoder, k=options.layer_k),
            f"needed {ENCODER}": partial(self._needed, ENCODER, encoder[0], min(encoder[1], 16)),
            f"needed {DECODER}": partial(self._needed, DECODER, *decoder),
            "predictions": partial(self._quality, DECODER, *decoder),
            f"layers of {DECODER}": partial(
                self._quality, DECODER, options.short_tokens, options.passages, k=options.layer_k
            ),
        }
        if options.classifier and options.data:
            found["classifier"] = self._classifier
        if options.listops:
            found["listops"] = lambda part: keep(self._path, part, {"trainings": reports(options.listops)})
        return found

    def _quality(self, model: str, tokens: int, passages: int, part: str, k: int | None = None) -> None:
        """All layers switched, at every k; or with a k one layer at a time."""
        lens = normlens.load(model)
        read = passages_of(lens, self._options.text, tokens, passages)
        ks, layers = powers_of_two(read.tokens), lens.model.config.num_hidden_layers
        settings = grid(ks) if k is None else layer_grid(k, layers)
        about = {"model": model, "ks": ks} if k is None else {"model": model, "k": k, "layers": layers}
        batch = 1 if model == DECODER else 16
        over_passages(lens, read, settings, self._earlier(part), self._keeping(part, **about), batch)

    def _needed(self, model: str, tokens: int, passages: int, part: str) -> None:
        lens = normlens.load(model)
        read = passages_of(lens, self._options.text, tokens, passages)
        self._keeping(part, model=model)(needed(lens, read, self._options.seed))

    def _classifier(self, part: str) -> None:
        lens = normlens.load(self._options.classifier)
        texts = read_classified("sst", self._options.data).test.limited(self._options.texts)
        ks = powers_of_two(32)
        classified(lens, texts, grid(ks), self._earlier(part), self._keeping(part, ks=ks))

    def _earlier(self, part: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = kept(self._path).get(part, {})
        return found

    def _keeping(self, part: str, **about: Any) -> Callable[[Mapping[str, Any]], None]:
        given = {**about, "text": _called(self._options.text), "seed": self._options.seed}
        return lambda found: keep(self._path, part, {**given, **found})


def _called(text: Path | None) -> str:
    return "the bundled sentences, joined" if text is None else text.name


if __name__ == "__main__":
    raise SystemExit(main())
