"""Good clusterings (Daniely, Linial and Saks 2012): who finds planted ones, what noise gives, and the heads of two models.

Each part is measured by itself and kept until it is measured again; page and figures are drawn of what is kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from clustering_figures import draw
from clustering_heads import heads
from clustering_page import page
from clustering_planted import noise, planted, soundness, timings
from finding import DOCS_IMAGES, RESULTS

from normlens import NormLensError, figures, samples
from normlens.catalogue import BUNDLED

NAME = "clustering_tables"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the parts that the command line names, keep them, and write page and figures.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    measures = _measures(options := _options(arguments))
    try:
        for part in () if options.redraw else options.parts or measures:
            if part not in measures:
                raise NormLensError(f"There is no part {part!r}; expected some of {', '.join(measures)}.")
            start = time.perf_counter()
            measured = measures[part]()
            seconds = round(time.perf_counter() - start, 1)
            print(f"{part}: {seconds} s", file=sys.stderr)
            _keep(options.output, part, {"seconds": seconds, "seed": options.seed, **measured})
        kept = _kept(options.output)
        if not kept:
            raise NormLensError("No result is kept. Run without --redraw.")
        print(_write(kept, options.output))
    except NormLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="+", help="planted, noise, soundness, timings, heads of MODEL (default: all)")
    parser.add_argument("--instances", type=int, default=1000, help="planted instances per α (default: 1000)")
    parser.add_argument("--slow", type=int, default=60, help="on how many the search runs for small α (default: 60)")
    parser.add_argument("--noise", type=int, default=20, help="noise instances per row (default: 20)")
    parser.add_argument("--small", type=int, default=300, help="instances that are counted out (default: 300)")
    parser.add_argument("--sentences", type=int, default=40, help="for heads, of the bundled sample (default: 40)")
    parser.add_argument("--resamples", type=int, default=200, help="of the bootstrap over sentences (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--redraw", action="store_true", help="measure nothing; write page and figures anew")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the results (default: %(default)s)")
    return parser.parse_args(arguments)


def _measures(options: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """What measures each part."""
    texts, seed = samples.sentences()[: options.sentences], options.seed

    def of_model(model: str) -> Callable[[], dict[str, Any]]:
        return lambda: heads(model, texts, options.resamples, seed)

    return {
        "timings": lambda: timings(seed),
        "soundness": lambda: soundness(options.small, seed),
        "noise": lambda: noise(options.noise, seed),
        **{f"heads of {model}": of_model(model) for model in BUNDLED},
        "planted": lambda: planted(options.instances, options.slow, seed),
    }


def _keep(folder: Path, part: str, measured: Mapping[str, Any]) -> None:
    """Put one part into the JSON file, in place of its earlier numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAME}.json"
    kept = {**_kept(folder), part: measured}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(kept[name], ensure_ascii=False)}" for name in sorted(kept))
    partial = path.with_suffix(".partial")
    partial.write_text("{\n" + lines + "\n}\n", encoding="utf-8")
    partial.replace(path)


def _kept(folder: Path) -> dict[str, Any]:
    path = folder / f"{NAME}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def _write(kept: Mapping[str, Any], folder: Path) -> str:
    """Write page and figures; return the page."""
    text = page(kept)
    (folder / f"{NAME}.md").write_text(text + "\n", encoding="utf-8")
    for ending, figure in draw(kept).items():
        for suffix in ("png", "svg"):
            path = figures.save(figure, folder / f"{NAME}_{ending}.{suffix}")
        if folder == RESULTS:
            DOCS_IMAGES.mkdir(exist_ok=True)
            shutil.copyfile(path, DOCS_IMAGES / path.name)
    return text


if __name__ == "__main__":
    raise SystemExit(main())
