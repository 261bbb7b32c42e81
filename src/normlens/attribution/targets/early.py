"""Checks of targets before a model's weights are read, by its class, its config and its tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from normlens.attribution.targets.classes import class_number
from normlens.attribution.targets.prediction_heads import Head, check_whole, head_of_class, token_id
from normlens.attribution.targets.resolve import LOG_PROBABILITY
from normlens.loading.outline import Outline


def head_of_outline(outline: Outline) -> Head | None:
    """The kind of head that a model will have; None if that is unclear before it is loaded."""
    name = getattr(outline.model_class, "__name__", "")
    return head_of_class(name, outline.is_encoder_decoder)


def check_targets(outline: Outline, targets: Sequence[str | int], position: int | None) -> None:
    """Refuse classes and tokens that the model's output can't have.

    Parameters
    ----------
    outline
        The model before its weights are read.
    targets
        Names or numbers, as in :meth:`normlens.Lens.attribute`.
    position
        Where they are read.

    Raises
    ------
    InvalidInput
        If there is no such class or token, or the model has no positions to read at.
    """
    head, owner = head_of_outline(outline), getattr(outline.model_class, "__name__", outline.name)
    if head == "classes":
        check_whole(owner, position)
    for target in targets:
        name = target.removeprefix(LOG_PROBABILITY) if isinstance(target, str) else target
        if head in ("classes", "tags"):
            class_number(outline.config, name, owner)
        elif head in ("next", "masked") and isinstance(name, str) and outline.tokenizer is not None:
            token_id(outline.tokenizer, name, as_target=outline.is_encoder_decoder)
