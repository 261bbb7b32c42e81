"""Which tokens made the model say something: the split of a logit over the text, and what the model expected instead."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from normlens.attribution import Predicted, VectorNorm, head_of
from normlens.engine.locks import exclusive
from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, exact
from normlens.figures.explorer_page.group_overview import token_facts
from normlens.figures.style import readable
from normlens.inputs.tokens import Tokens
from normlens.words import joined_tokens

if TYPE_CHECKING:
    from normlens.view.exploration import Exploration

METHODS = ("decompx", "alti_logit", "gradient_input", "integrated_gradients")
"""Methods whose result is one share per token."""
MOST_TOKENS = 2048
EXPECTED = 5
"""Number of likely tokens that are offered."""


def attributed(exploration: Exploration, method: str, place: int | None, token: str, against: str) -> Message:
    """The share of each token in what the model says at a place.

    Parameters
    ----------
    exploration
        The run, whose text is explained.
    method
        One of `METHODS`.
    place
        The token that is said; None for what comes after the text, or for the class. A model without a head says nothing:
        then the length of this token's last vector is explained (None: of the first).
    token
        What is explained in place of the text's own token, or of the model's prediction after the text.
    against
        If not empty, the difference to this token's logit is explained.

    Returns
    -------
    Message
        Facts of the target, and `shares`: ``(source,)``, the decoder's sources after those of the encoder.

    Raises
    ------
    InvalidInput
        If there is no such method, place or token, or the text is too long.
    """
    if method not in METHODS:
        raise InvalidInput(f"There is no split by {method!r}; expected one of {', '.join(METHODS)}.")
    example, lens = exploration.example, exploration.model.lens
    sides = [side for side in (example.source, example.target) if side is not None]
    if not sides or sum(map(len, sides)) > MOST_TOKENS:
        raise InvalidInput(
            f"A split is offered for texts of at most {MOST_TOKENS:,} tokens. Shorten the text, or use `normlens attribute`."
        )
    head = head_of(lens.model)
    position, said = _read_at(head, sides[-1], place)
    expected = _expected(exploration, position) if head in ("next", "masked") else []
    target: Any = token or (Predicted() if said is None else said)
    if head == "none":
        if token or against:
            raise InvalidInput(f"{lens.name} has no head that says tokens. Leave the tokens empty.")
        target = VectorNorm()
    elif against:
        first = target if not isinstance(target, Predicted) else expected[0]["id"] if expected else None
        if first is None:
            raise InvalidInput(f"The difference to {against!r} of what? Type both names.")
        target = first, against
    shares = lens.attribute(
        example.text, method=method, target=target, position=position, progress=False,
        target_text=None if example.target is None else example.target.text,
    )  # fmt: skip
    attrs = shares.attrs
    facts = {
        "run": exploration.name,
        "head": head,
        "method": method,
        "place": place,
        "target": readable(str(attrs["target"])),
        "value": _number(attrs["value"]),
        "biasShare": _number(attrs["bias_share"]),
        "conservationError": _number(attrs["conservation_error"]),
        "rule": attrs["rule"],
        "note": attrs.get("note", ""),
        "last": _last_read(head, sides, position),
        "sides": [token_facts(one.labels, one.categories, _joined(one)) for one in sides],
        "expected": [{**one, "text": readable(one["text"])} for one in expected],
    }
    name = json.dumps([method, place, token, against], separators=(",", ":"))
    return exploration.keep_look(
        f"attribute/{name}", Message(facts, {"shares": exact(shares.values.astype(np.float64))})
    )


def _read_at(head: str, tokens: Tokens, place: int | None) -> tuple[int | None, int | None]:
    """The position at which the target is read, and the id of the text's own token there, if the model says one."""
    if place is None:
        return (0 if head == "none" else None), None
    if head == "classes":
        raise InvalidInput("This model says one class of the whole text. Leave the place out.")
    first = 1 if head == "next" else 0
    if not first <= place < len(tokens):
        raise InvalidInput(
            f"There is no token {place} that the model could say; it says {first} to {len(tokens) - 1} of this text, and "
            "what comes next. Choose one of these."
        )
    if head == "next":
        return place - 1, int(tokens.ids[place])
    return place, None


def _last_read(head: str, sides: list[Tokens], position: int | None) -> int:
    """The last position, among all sources, that the model has read where the target is."""
    tokens = sum(map(len, sides))
    return tokens - 1 if head != "next" or position is None else tokens - len(sides[-1]) + position


def _expected(exploration: Exploration, position: int | None) -> list[dict[str, Any]]:
    """The likeliest tokens at a position (None: the last), their probabilities, and whether their text names them."""
    lens, example = exploration.model.lens, exploration.example
    tokenizer: Any = lens.tokenizer
    inputs = {name: x[None].to(lens.model.device) for name, x in example.tensors.items()}
    with exclusive(lens.model), torch.no_grad():
        logits = lens.model(**inputs).logits[0, -1 if position is None else position]
    likely, ids = logits.float().softmax(-1).topk(EXPECTED)
    expected = []
    for number, probability in zip(ids.tolist(), likely.tolist(), strict=True):
        text = tokenizer.decode([number])
        is_name = tokenizer.encode(text, add_special_tokens=False) == [number]
        expected.append({"id": number, "text": text, "isName": is_name, "probability": round(probability, 6)})
    return expected


def _joined(tokens: Tokens) -> Any:
    return joined_tokens(tokens.offsets, tokens.categories, tokens.text)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
