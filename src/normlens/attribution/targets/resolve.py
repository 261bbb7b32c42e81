"""Resolves what the user names (a class, a token, a pair, a function) to a scalar of this model's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from transformers import PreTrainedModel

from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.answer_tokens import AnswerTokens
from normlens.attribution.targets.prediction_heads import Head, head_of, index_of, name_of, place_of, predicted
from normlens.attribution.targets.scalars import (
    BatchTarget,
    LogProbability,
    Predicted,
    RowFunction,
    TextFunction,
    VectorNorm,
)
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput

LOG_PROBABILITY = "logprob:"
"""Prefix of targets that name a log-probability: a :class:`LogProbability` of what follows, leading space included."""

_PAIR = "a class, a token, or a pair of them (the difference of their logits)"
_EXPECTED = {**dict.fromkeys(get_args(Head), _PAIR), "answer": "'start' or 'end', one of them"}


def default_target(model: PreTrainedModel, method: Method, options: Mapping[str, Any]) -> Predicted | None:
    """The target if none is named: the model's own prediction, if it has a head.

    Parameters
    ----------
    model, method
        The model, and the method of attribution.
    options
        The method's options; those that request contribution vectors exclude a target.

    Returns
    -------
    Predicted or None
        None if the method returns a map of sources.
    """
    wants_vectors = options.get("at") is not None or bool(options.get("vectors"))
    return None if method.targets == "none" or wants_vectors or head_of(model) == "none" else Predicted()


def resolve(subject: Subject, request: Request) -> BatchTarget:
    """The request's targets as scalars of this model's output.

    Parameters
    ----------
    subject, request
        As passed to a method; the request has a target.

    Raises
    ------
    InvalidInput
        If a target doesn't exist, can't be read at the position, isn't a single token, or depends on weights that the
        checkpoint lacks; the message lists those that exist.
    """
    target = _target(subject, request)
    require_trained(target.subject.model, lambda: target.value(target.subject.run(target.subject.inputs)))
    return target


def _target(subject: Subject, request: Request) -> BatchTarget:
    assert request.targets is not None
    targets = request.targets
    positions = request.positions or (None,) * len(targets)
    if any(callable(target) for target in targets):
        return _of_function(subject, targets, positions)
    if any(isinstance(target, VectorNorm) for target in targets):
        return _of_hidden_states(subject, targets, positions)
    rows = zip(range(len(targets)), targets, positions, strict=True)
    functions, names = zip(*(_of_head(subject, *row) for row in rows), strict=True)
    return BatchTarget(subject, functions, names, all(function.kind == "logit" for function in functions))


def _of_function(subject: Subject, targets: tuple[Any, ...], positions: tuple[int | None, ...]) -> BatchTarget:
    if any(target is not targets[0] for target in targets) or any(p is not None for p in positions):
        raise InvalidInput(
            "A function of the output explains all texts at once and chooses its own positions; expected one function for "
            "all texts, and no position."
        )
    name = getattr(targets[0], "__name__", type(targets[0]).__name__)
    target = BatchTarget(subject, (), (name,) * len(targets), False, targets[0])
    target.require_gradient()  # before the model runs frozen, where no other derivative can be taken
    return target


def _of_hidden_states(subject: Subject, targets: tuple[Any, ...], positions: tuple[int | None, ...]) -> BatchTarget:
    if not all(isinstance(target, VectorNorm) for target in targets):
        raise InvalidInput(
            "VectorNorm() was passed for some of the texts; expected it for all. Explain the others in another call."
        )
    plain = subject.plain()
    if plain.model is subject.model and head_of(subject.model) != "none":
        raise InvalidInput(
            f"{type(subject.model).__name__} can't run without its head, so its last hidden states aren't available. Load "
            "the model without a head (task='base'), or pass a function of its output."
        )
    places = [place_of(plain, "none", k, position, None) for k, position in enumerate(positions)]
    functions = tuple(RowFunction(place, (), "norm") for place in places)
    return BatchTarget(plain, functions, tuple(f"norm of the hidden state{p.described}" for p in places), False)


def _of_head(subject: Subject, text: int, target: Any, position: int | None) -> tuple[TextFunction, str]:
    """One text's target and its name."""
    if isinstance(target, AnswerTokens):
        return target.function, target.named()
    head = head_of(subject.model)
    if head == "none":
        raise InvalidInput(
            f"{type(subject.model).__name__} has no head, so it has no class and no token to explain. Load the model with "
            "task=, or pass VectorNorm() or a function of its output as the target (in the shell: --task, or a method "
            "without a target, such as --method norm_rollout)."
        )
    if isinstance(target, str) and target.startswith(LOG_PROBABILITY):
        target = LogProbability(target.removeprefix(LOG_PROBABILITY))
    kind = "logprob" if isinstance(target, LogProbability) else "logit"
    atoms = target.of if isinstance(target, LogProbability) else target
    atoms = "start" if head == "answer" and isinstance(atoms, Predicted) else atoms
    pair = atoms if isinstance(atoms, tuple) else (atoms,)
    if len(pair) not in ((1,) if kind == "logprob" or head == "answer" else (1, 2)):
        raise InvalidInput(
            f"target={target!r}; expected {_EXPECTED[head]}. To give each of several texts its own target, pass a list."
        )
    place = place_of(subject, head, text, position, pair[0])
    indices = [
        predicted(subject, text, place)
        if isinstance(atom, Predicted)
        else index_of(subject, head, text, place, atom, position)
        for atom in pair
    ]
    terms = tuple(zip((1.0, -1.0), indices, strict=False))
    names = [name_of(subject, head, text, index) for index in indices]
    if head == "answer":
        names = [f"{atom} at {name}" for atom, name in zip(pair, names, strict=True)]
    of = {"logit": "logit", "logprob": "log-probability"}[kind]
    return RowFunction(place, terms, kind), f"{of} of {' − '.join(names)}{place.described}"
