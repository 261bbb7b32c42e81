"""``python -m reproduce STUDY``: measure a study, keep its numbers, and draw its page and figures."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

STUDIES = {
    "special-tokens": "reproduce.norms.special_tokens",
    "frequency": "reproduce.norms.frequency",
    "dispersion": "reproduce.norms.dispersion",
    "mixing-ratio": "reproduce.norms.mixing_ratio",
    "alignment": "reproduce.alignment.table",
    "language-pair": "reproduce.alignment.language_pair",
    "language-pair-reading": "reproduce.alignment.blind_reading",
    "attribution": "reproduce.attribution.table",
    "alternatives": "reproduce.attribution.alternatives",
    "transfer": "reproduce.transfer.table",
    "four-tests": "reproduce.four_tests.table",
    "evidence": "reproduce.evidence.table",
    "topk": "reproduce.topk.table",
    "eviction": "reproduce.eviction.table",
    "contexts": "reproduce.contexts.table",
    "clustering": "reproduce.clustering.table",
    "idle-heads": "reproduce.heads.idle",
    "negation-scope": "reproduce.negation.scope",
    "negation-displacement": "reproduce.negation.displacement",
    "negation-scone": "reproduce.negation.scone",
    "train-translation": "reproduce.training.translation",
    "negation-trees": "reproduce.negation.trees.table",
    "train-classifier": "reproduce.training.classifier.train",
    "train-listops": "reproduce.training.listops",
    "picture-first": "reproduce.pictures.first",
    "picture-attribution": "reproduce.pictures.attribution",
    "picture-answers": "reproduce.pictures.answers",
    "picture-alignment": "reproduce.pictures.alignment",
    "picture-negation": "reproduce.pictures.negation",
    "picture-side-by-side": "reproduce.pictures.side_by_side",
    "picture-explorer": "reproduce.pictures.explorer",
    "picture-notebook": "reproduce.pictures.notebook",
}
"""The module of each study."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the study named on the command line, or list all studies.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments), ""]
    if name in ("", "-h", "--help"):
        print("usage: python -m reproduce STUDY [--help | options of the study]\n")
        for study, module in STUDIES.items():
            print(f"  {study:20} {_first_line(module)}")
        return 0
    if name not in STUDIES:
        print(f"error: There is no study {name!r}; expected one of {', '.join(STUDIES)}.", file=sys.stderr)
        return 2
    sys.argv[0] = f"python -m reproduce {name}"  # the program's name in --help
    return _entry(STUDIES[name])(rest[:-1])


def _entry(module: str) -> Callable[[Sequence[str]], int]:
    """The function that runs a study with its command line."""
    study: Any = import_module(module)
    if hasattr(study, "FINDING"):
        from reproduce.study.run import reproduce

        return lambda rest: reproduce(study.FINDING, rest)
    return lambda rest: study.main(rest)


def _first_line(module: str) -> str:
    """The first line of a module's docstring, without importing the module."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec(module)
    assert spec is not None and spec.origin is not None
    text = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0]


if __name__ == "__main__":
    raise SystemExit(main())
