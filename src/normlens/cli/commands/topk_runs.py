"""The runs of ``normlens topk``: the model dense and with k sources, and the number of sources that targets need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from normlens.cli.opening import quiet
from normlens.cli.terminal import counting
from normlens.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from normlens import Lens

_COUNTED_TARGETS = 32  # per passage


@dataclass(frozen=True)
class TopKSettings:
    """The settings of ``normlens topk``.

    Attributes
    ----------
    k
        Numbers of sources per target to try.
    measure, keep, renormalize
        As in :func:`normlens.topk.use`.
    tokens
        Tokens per passage; None for the default.
    limit
        Largest number of passages.
    within
        As in :func:`normlens.topk.needs.count_sources`.
    seed
        Seed of random sources.
    """

    k: tuple[int, ...]
    measure: str
    keep: str
    renormalize: bool
    tokens: int | None
    limit: int
    within: float
    seed: int

    def check(self) -> None:
        """Refuse settings that are out of range for every model.

        Raises
        ------
        InvalidInput
            For a k below 1, passages of fewer than two tokens, or an error that isn't between 0 and 1.
        """
        if not self.k or min(self.k) < 1:
            raise InvalidInput(f"--k is {', '.join(map(str, self.k)) or 'missing'}; expected positive integers.")
        if (self.tokens is not None and self.tokens < 2) or not 0 < self.within < 1:
            raise InvalidInput(
                f"--tokens is {self.tokens or 'not set'}, and --within is {self.within}; expected at least 2 tokens, and a "
                "relative error between 0 and 1, such as 0.1."
            )


def numbers_in(text: str) -> tuple[int, ...]:
    """Parse integers separated by commas; sorted, without duplicates.

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
        return tuple(sorted({int(number) for number in text.split(",")}))
    except ValueError:
        raise InvalidInput(f"--k is {text!r}; expected integers separated by commas, such as 4,16,64.") from None


def measured(lens: Lens, text: str, settings: TopKSettings) -> dict[str, Any]:
    """Run the model on the passages of a text, dense and with each k.

    Parameters
    ----------
    lens
        The model.
    text
        The text, which is cut into passages.
    settings
        The settings.

    Returns
    -------
    dict
        Plain data: the settings, the passages, quality "dense" and for each k ("kept"), and sources "needed" by module.

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
        "settings": asdict(settings),
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

    with (
        normlens.topk.use(lens, k, settings.measure, keep=settings.keep, renormalize=settings.renormalize),
        torch.random.fork_rng(),
    ):
        torch.manual_seed(settings.seed)
        numbers: dict[str, np.ndarray] = quality.now()
    return numbers


def _counted(lens: Lens, ids: Tensor, settings: TopKSettings) -> dict[str, dict[str, Tensor]]:
    """Counts by module for targets spread over the passage; for decoders, over its second half."""
    import numpy as np

    from normlens.topk.needs import count_sources, predicts_tokens

    tokens = ids.shape[1]
    first = tokens // 2 if predicts_tokens(lens.model) else 0
    targets = np.unique(np.linspace(first, tokens - 1, _COUNTED_TARGETS).astype(int)).tolist()
    counts_by_module = count_sources(
        lens, {"input_ids": ids.to(lens.model.device)}, within=settings.within, targets=targets
    )
    ending = " renormalized" * settings.renormalize
    return {
        path: {name: counts[name + ending] for name in ("weight", "norm")} for path, counts in counts_by_module.items()
    }


def _single(numbers: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in numbers.items()}


def _mean(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means over passages, with the perplexity, or the lowest cosine."""
    import numpy as np

    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    if "nll" in means:
        means["perplexity"] = math.exp(means["nll"])
    if "cosine" in means:
        means["lowest_cosine"] = min(row["cosine"] for row in rows)
    return means


def _needed(passages: Sequence[dict[str, dict[str, Tensor]]]) -> list[dict[str, Any]]:
    """By module: the median over all targets and heads, and over the targets of the head that needs the most sources."""
    import numpy as np

    rows = []
    for path in passages[0]:
        row: dict[str, Any] = {"module": path}
        for name in ("weight", "norm"):
            counts = np.concatenate([passage[path][name][0].cpu().numpy() for passage in passages], axis=1)
            heads = np.median(counts, axis=1)
            row[name] = {
                "median": float(np.median(counts)),
                "neediest": float(heads.max()),
                "head": int(heads.argmax()),
            }
        rows.append(row)
    return rows
