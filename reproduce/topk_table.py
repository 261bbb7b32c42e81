"""How few sources a target needs, and by what they should be chosen: models whose attention keeps k sources per target.

Each part is measured by itself, passage by passage, and kept: a run that was stopped, or is started again with more
passages, goes on with what is missing. Page and figures are drawn of what is kept.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
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
    measures = _measures(options := _options(arguments))
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


def _measures(options: argparse.Namespace) -> dict[str, Callable[[str], None]]:
    """What measures each part and keeps it; a part whose data weren't named is not among them."""
    path, text = options.output / f"{NAME}.json", options.text

    def keeping(part: str, **about: Any) -> Callable[[Mapping[str, Any]], None]:
        return lambda found: keep(path, part, {**about, "text": _called(text), "seed": options.seed, **found})

    def quality(model: str, tokens: int, passages: int, k: int | None = None, batch: int = 1) -> Callable[[str], None]:
        def measure(part: str) -> None:
            lens = normlens.load(model)
            read = passages_of(lens, text, tokens, passages)
            ks = powers_of_two(read.tokens)
            layers = lens.model.config.num_hidden_layers
            settings = grid(ks) if k is None else layer_grid(k, layers)
            about = {"model": model, "ks": ks} if k is None else {"model": model, "k": k, "layers": layers}
            over_passages(lens, read, settings, kept(path).get(part, {}), keeping(part, **about), batch)

        return measure

    def counted(model: str, tokens: int, passages: int) -> Callable[[str], None]:
        def measure(part: str) -> None:
            lens = normlens.load(model)
            read = passages_of(lens, text, tokens, passages)
            keeping(part, model=model)(needed(lens, read, options.seed))

        return measure

    def classifier(part: str) -> None:
        lens = normlens.load(options.classifier)
        texts = read_classified("sst", options.data).test.limited(options.texts)
        ks = powers_of_two(32)
        classified(lens, texts, grid(ks), kept(path).get(part, {}), keeping(part, ks=ks))

    few, short, encoder = options.passages, options.short_tokens, (options.encoder_tokens, options.encoder_passages)
    found: dict[str, Callable[[str], None]] = {
        "embeddings": quality(ENCODER, *encoder, batch=16),
        f"layers of {ENCODER}": quality(ENCODER, *encoder, k=options.layer_k, batch=16),
        f"needed {ENCODER}": counted(ENCODER, encoder[0], min(encoder[1], 16)),
        f"needed {DECODER}": counted(DECODER, options.tokens, few),
        "predictions": quality(DECODER, options.tokens, few),
        f"layers of {DECODER}": quality(DECODER, short, few, k=options.layer_k),
    }
    if options.classifier and options.data:
        found["classifier"] = classifier
    if options.listops:
        found["listops"] = lambda part: keep(path, part, {"trainings": reports(options.listops)})
    return found


def _called(text: Path | None) -> str:
    return "the bundled sentences, joined" if text is None else text.name


if __name__ == "__main__":
    raise SystemExit(main())
