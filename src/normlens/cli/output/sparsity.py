"""What ``normlens topk`` measures and prints: the model run dense and with k sources, and the sources it needs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from normlens.cli.opening import quiet
from normlens.cli.terminal import counting, percent, results
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from normlens import Lens

_COUNTED_TARGETS = 32  # of each passage


@dataclass(frozen=True)
class TopKSettings:
    """The settings of ``normlens topk``.

    Attributes
    ----------
    k
        Sources per target, several to try.
    by, renormalize
        As :func:`normlens.topk.use` takes them.
    tokens, limit
        Of each passage, and passages.
    within
        As :func:`normlens.topk.needs.count_sources` takes it.
    seed
        Of random sources.
    """

    k: tuple[int, ...]
    by: str
    renormalize: bool
    tokens: int | None
    limit: int
    within: float
    seed: int

    def check(self) -> None:
        """Refuse settings that no model could follow.

        Raises
        ------
        InvalidInput
            For a k below 1, passages of fewer than two tokens, or an error that isn't between 0 and 1.
        """
        if not self.k or min(self.k) < 1:
            raise InvalidInput(f"k is {', '.join(map(str, self.k)) or 'missing'}; expected positive integers.")
        if (self.tokens is not None and self.tokens < 2) or not 0 < self.within < 1:
            raise InvalidInput(
                f"--tokens is {self.tokens or 'not set'}, and --within is {self.within}; expected at least 2 tokens, and a "
                "relative error between 0 and 1, such as 0.1."
            )


def numbers_in(text: str) -> tuple[int, ...]:
    """Integers separated by commas, each once and sorted.

    Raises
    ------
    InvalidInput
        If one of them is not an integer.

    Examples
    --------
    >>> numbers_in("16, 4,4")
    (4, 16)
    """
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InvalidInput(f"k is {text!r}; expected integers separated by commas, such as 4,16,64.") from None


def measured(lens: Lens, text: str, settings: TopKSettings) -> dict[str, Any]:
    """Run the model on the passages of a text, dense and with each k.

    Parameters
    ----------
    lens
        The model.
    text
        What it reads.
    settings
        How.

    Returns
    -------
    dict
        Plain data: what was asked, the passages, "dense", one entry of "kept" for each k, and "needed" by module.

    Raises
    ------
    NormLensError
        If the attention of the model can't be replaced, or the text can't be cut into passages.
    """
    with quiet():
        from normlens.topk.needs import cut_into_passages, quality_of

        passages = cut_into_passages(lens, text, settings.tokens, settings.limit)
        dense: list[dict[str, float]] = []
        kept: dict[int, list[dict[str, float]]] = {k: [] for k in settings.k}
        needed: list[dict[str, dict[str, Tensor]]] = []
        with counting("Reading", len(passages)) as progress:
            for ids in passages.ids:
                quality = quality_of(lens.model, ids[None])
                dense.append(_single(quality.dense))
                needed.append(_counted(lens, ids[None], settings))
                for k in settings.k:
                    kept[k].append(_single(_switched(lens, quality, k, settings)))
                progress.advance(progress.task_ids[0])
    return {
        "asked": asdict(settings),
        "passages": len(passages),
        "passages_in_text": passages.of,
        "tokens": passages.tokens,
        "dense": _mean(dense),
        "kept": [{"k": k, **_mean(rows)} for k, rows in kept.items()],
        "needed": _needed(needed),
    }


def _switched(lens: Lens, quality: Any, k: int, settings: TopKSettings) -> dict[str, np.ndarray]:
    import torch

    import normlens.topk

    with normlens.topk.use(lens, k, settings.by, renormalize=settings.renormalize), torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        found: dict[str, np.ndarray] = quality.now()
    return found


def _counted(lens: Lens, ids: Tensor, settings: TopKSettings) -> dict[str, dict[str, Tensor]]:
    """Counts by module for some targets spread over the passage, where it is causal over its second half."""
    import numpy as np

    from normlens.topk.needs import count_sources, predicts_tokens

    tokens = ids.shape[1]
    first = tokens // 2 if predicts_tokens(lens.model) else 0
    targets = np.unique(np.linspace(first, tokens - 1, _COUNTED_TARGETS).astype(int)).tolist()
    found = count_sources(lens, {"input_ids": ids.to(lens.model.device)}, within=settings.within, targets=targets)
    ending = " renormalized" * settings.renormalize
    return {path: {name: counts[name + ending] for name in ("weight", "norm")} for path, counts in found.items()}


def _single(numbers: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in numbers.items()}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over passages, and what is made of them: the perplexity, and the lowest cosine."""
    import numpy as np

    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    if "nll" in means:
        means["perplexity"] = math.exp(means["nll"])
    if "cosine" in means:
        means["lowest_cosine"] = min(row["cosine"] for row in rows)
    return means


def _needed(passages: Sequence[dict[str, dict[str, Tensor]]]) -> list[dict[str, Any]]:
    """Of each module: the median over all targets and heads, and over the targets of the head that needs most."""
    import numpy as np

    rows = []
    for path in passages[0]:
        row: dict[str, Any] = {"module": path}
        for name in ("weight", "norm"):
            counts = np.concatenate([found[path][name][0].cpu().numpy() for found in passages], axis=1)
            heads = np.median(counts, axis=1)
            row[name] = {
                "median": float(np.median(counts)),
                "neediest": float(heads.max()),
                "head": int(heads.argmax()),
            }
        rows.append(row)
    return rows


def give(found: dict[str, Any], name: str, file: Path, as_json: bool) -> None:
    """Print what was measured.

    Parameters
    ----------
    found
        As `measured` returns it.
    name, file
        Of the model and its text.
    as_json
        Whether as JSON.
    """
    if as_json:
        typer.echo(json.dumps({"model": name, "file": str(file), **found}, ensure_ascii=False, allow_nan=False))
        return
    asked, console = found["asked"], results()
    weights = "weights renormalized" if asked["renormalize"] else "weights unchanged"
    console.print(
        f"{name}, {file.name}: {found['passages']} of {found['passages_in_text']} passages of {found['tokens']} tokens; "
        f"sources kept by {asked['by']}, {weights}.\n",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    console.print(_quality_table(found))
    console.print(
        f"\nSources that a target needs to keep the relative error of a head's output below {percent(asked['within'])} "
        "(median over heads and targets; then the neediest head)",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    _print_needed(console, found["needed"])


def _quality_table(found: dict[str, Any]) -> Table:
    decoder = "perplexity" in found["dense"]
    headings = ["perplexity", "beside dense", "same next token"] if decoder else ["cosine with dense", "lowest"]
    table = _table("k", *headings)
    if decoder:
        table.add_row("dense", f"{found['dense']['perplexity']:.2f}", "", "")
    for row in found["kept"]:
        if decoder:
            times = row["perplexity"] / found["dense"]["perplexity"]
            table.add_row(str(row["k"]), f"{row['perplexity']:.2f}", _beside(times), percent(row["agreement"]))
        else:
            table.add_row(str(row["k"]), f"{row['cosine']:.4f}", f"{row['lowest_cosine']:.4f}")
    return table


def _beside(times: float) -> str:
    """A perplexity beside the dense one, in percent up to twice as much.

    Examples
    --------
    >>> _beside(1.014), _beside(12.3)
    ('+1.4 %', '× 12')
    """
    return f"{100 * (times - 1):+.1f} %" if times < 2 else f"× {times:.0f}"


def _print_needed(console: Console, needed: Sequence[dict[str, Any]]) -> None:
    table = _table("attention", "by weight", "by norm", "neediest head, by weight", "by norm")
    for row in needed:
        medians = [f"{row[name]['median']:g}" for name in ("weight", "norm")]
        neediest = [f"{row[name]['neediest']:g} (head {row[name]['head']})" for name in ("weight", "norm")]
        table.add_row(row["module"], *medians, *neediest)
    console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, header_style="bold")
    for heading in others:
        table.add_column(heading, header_style="bold", justify="right")
    return table
