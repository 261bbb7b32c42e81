"""The runs of ``normlens evict``: keys chosen by every score, the meter's errors, and the model run without the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlens.cli.opening import quiet
from normlens.errors import InvalidInput, UnsupportedArchitecture
from normlens.files.atomic import reason
from normlens.files.reading import refuse_unreadable

if TYPE_CHECKING:
    from normlens import Lens
    from normlens.topk.eviction import Eviction, TextReading

_COPIED = 64  # tokens of the text that the model reads again, and should predict
_WORST = 5  # heads listed


@dataclass(frozen=True)
class EvictSettings:
    """The settings of ``normlens evict``.

    Attributes
    ----------
    keep
        The share of pairs that stay.
    scores
        Names of scores; empty if the caller brings masks.
    budget, queries, seed
        As in :func:`normlens.topk.eviction.evict`.
    tokens
        Tokens of the text that are read; None for 256, or as many as the model has positions for.
    """

    keep: float
    scores: tuple[str, ...]
    budget: str
    queries: int | None
    tokens: int | None
    seed: int

    def check(self) -> None:
        """Refuse settings that are wrong for every model.

        Raises
        ------
        InvalidInput
            For a share, a score or a number of queries that doesn't exist.
        """
        from normlens.topk.eviction.budgets import checked_share
        from normlens.topk.eviction.key_scores import score_named

        checked_share(self.keep)
        for name in self.scores:
            score_named(name)
        if (self.queries is not None and self.queries < 1) or (self.tokens is not None and self.tokens < 2):
            raise InvalidInput(
                f"--queries is {self.queries or 'not set'} and --tokens {self.tokens or 'not set'}; expected at least 1 "
                "query and 2 tokens."
            )


def share_in(text: str) -> float:
    """Parse a share: a percentage, or a number up to 1.

    Raises
    ------
    InvalidInput
        If it is neither, or isn't above 0 and up to 100 %.

    Examples
    --------
    >>> share_in("50%"), share_in("0.25")
    (0.5, 0.25)
    """
    number, percent = text.strip().removesuffix("%"), text.strip().endswith("%")
    try:
        share = float(number) / (100 if percent else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InvalidInput(f"--keep is {text!r}; expected a share above 0 % and up to 100 %, such as 50% or 0.5.")
    return share


def read_masks(file: Path) -> Any:
    """The masks of a NumPy file.

    Raises
    ------
    InvalidInput
        If it can't be read, or isn't a Boolean array (layer, head, source).
    """
    import numpy as np

    expected = "Expected a .npy file with a Boolean array (layer, head, source)."
    try:
        refuse_unreadable(file, again=True)
        masks = np.load(file, mmap_mode="r", allow_pickle=False)
    except InvalidInput:
        raise
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {reason(error)}. {expected}") from error
    except Exception as error:  # NumPy raises many kinds of error for broken files
        raise InvalidInput(f"{file} isn't a NumPy array: {error}. {expected}") from error
    if not isinstance(masks, np.ndarray) or masks.dtype != np.bool_ or masks.ndim != 3:
        seen = f"{masks.dtype} {masks.shape}" if isinstance(masks, np.ndarray) else "an archive"
        raise InvalidInput(f"{file} holds {seen}. {expected}")
    return masks


def measured(lens: Lens, text: str, settings: EvictSettings, masks: Any = None) -> dict[str, Any]:
    """Evict from a text by every score, or by masks, and measure what that does.

    Parameters
    ----------
    lens
        The model.
    text
        The text.
    settings
        The settings.
    masks
        The caller's own masks, as for :func:`normlens.topk.eviction.measure_eviction`; None to use scores.

    Returns
    -------
    dict
        Plain data: settings, number of tokens, the loss of the copy with all pairs (None if the model can't be run without
        pairs, and then "not_run" says why), and a row per score.
    """
    with quiet():
        from normlens.topk.eviction import Continuation, TextReading
        from normlens.topk.needs import cut_into_passages

        ids = cut_into_passages(lens, text, settings.tokens, 1).ids[0]
        reading = TextReading(lens, {"input_ids": ids[None]}, last=settings.queries)
        rows = list(_rows(lens, reading, ids, settings, masks))
        special = set() if lens.tokenizer is None else set(lens.tokenizer.all_special_ids)
        inside = [token for token in ids.tolist() if token not in special]
        start = max(0, len(inside) - _COPIED) // 2
        inside = inside[start : start + _COPIED]
        loss, reason = None, ""
        try:
            continuation = Continuation(reading, ids.new_tensor(inside))
        except UnsupportedArchitecture as refusal:
            reason = str(refusal)
        else:
            loss = continuation.dense["nll"]
            for _, row, eviction in rows:
                row |= continuation.now(eviction)
    return {
        "settings": asdict(settings) | {"scores": list(settings.scores)},
        "tokens": len(ids),
        "copied": len(inside),
        "loss": loss,
        "not_run": reason,
        "evictions": [{"score": name, **row} for name, row, _ in rows],
    }


def _rows(
    lens: Lens, reading: TextReading, ids: Any, settings: EvictSettings, masks: Any
) -> Iterator[tuple[str, dict[str, Any], Eviction]]:
    """Name, numbers and eviction of every score, or of the masks."""
    from normlens.topk.eviction import measure_eviction
    from normlens.topk.eviction.choosing import chosen_pairs, measured, scored
    from normlens.topk.eviction.evicted_pairs import eviction_result
    from normlens.topk.eviction.key_scores import ScoreOptions

    if masks is not None:
        eviction = measure_eviction(lens, {"input_ids": ids[None]}, masks, queries=settings.queries)
        yield "mask", _numbers(eviction), eviction
        return
    scores = scored(reading, settings.scores, ScoreOptions(settings.keep, settings.seed))
    pairs = {name: chosen_pairs(reading, x, settings.keep, settings.budget) for name, x in scores.items()}  # type: ignore[arg-type]
    for (name, chosen), errors in zip(pairs.items(), measured(reading, list(pairs.values())), strict=True):
        eviction = eviction_result(reading, chosen, errors, {"score": name})
        yield name, _numbers(eviction), eviction


def _numbers(eviction: Eviction) -> dict[str, Any]:
    worst = [
        {"group": group, "layer": layer, "head": head, "error": error}
        for group, layer, head, error in eviction.worst_heads(_WORST)
    ]
    return {
        "kept": eviction.share,
        "layer_error": eviction.layer_error,
        "head_error": eviction.head_error,
        "worst_heads": worst,
    }


def best(evictions: list[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The eviction that loses least: by the loss if the model was run, otherwise by the layers' error."""
    return min(evictions, key=lambda row: row.get("rise", row["layer_error"]))
