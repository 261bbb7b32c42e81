"""From what a person asks about (a class name, a token, a pair, a function) to a target of this model's output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from transformers import PreTrainedModel

from normlens.attribution.registry import Method, Request
from normlens.attribution.subject import Subject
from normlens.attribution.targets.heads import Head, head_of, index_of, name_of, place_of, predicted
from normlens.attribution.targets.scalars import BatchTarget, LogProbability, Predicted, RowFunction, VectorNorm
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput

LOG_PROBABILITY = "logprob:"
"""A target that begins like this is a :class:`LogProbability` of what follows, its space included."""

_PAIR = "a class, a token, or a pair of them (the difference of their logits)"
_EXPECTED = {**dict.fromkeys(get_args(Head), _PAIR), "answer": "'start' or 'end', one of them"}


def default_target(model: PreTrainedModel, method: Method, options: Mapping[str, Any]) -> Predicted | None:
    """What is explained where nothing is named: what the model itself predicts, if it has a head.

    Parameters
    ----------
    model, method
        Who is asked, and how.
    options
        The method's, as the caller gave them: those that ask for contribution vectors ask about no target.

    Returns
    -------
    Predicted or None
        None where the method gives a map of sources.
    """
    wants_vectors = options.get("at") is not None or bool(options.get("vectors"))
    return None if method.targets == "none" or wants_vectors or head_of(model) == "none" else Predicted()


def resolve(subject: Subject, request: Request) -> BatchTarget:
    """What the request's targets are in this model's output.

    Parameters
    ----------
    subject, request
        As a method gets them; there is a target.

    Raises
    ------
    InvalidInput
        If a target doesn't exist, can't be read at the position, isn't one token, or depends on weights that the
        checkpoint lacks; with what does exist.
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
    found = [_of_head(subject, *one) for one in zip(range(len(targets)), targets, positions, strict=True)]
    parts, names = tuple(part for part, _ in found), tuple(name for _, name in found)
    return BatchTarget(subject, parts, names, all(part.kind == "logit" for part in parts))


def _of_function(subject: Subject, targets: tuple[Any, ...], positions: tuple[int | None, ...]) -> BatchTarget:
    if any(target is not targets[0] for target in targets) or any(p is not None for p in positions):
        raise InvalidInput(
            "A function of the output explains all texts at once and reads where it likes; give one function for all "
            "texts, and no position."
        )
    name = getattr(targets[0], "__name__", type(targets[0]).__name__)
    target = BatchTarget(subject, (), (name,) * len(targets), False, targets[0])
    target.require_gradient()  # before the model runs frozen, where no other derivative can be taken
    return target


def _of_hidden_states(subject: Subject, targets: tuple[Any, ...], positions: tuple[int | None, ...]) -> BatchTarget:
    if not all(isinstance(target, VectorNorm) for target in targets):
        raise InvalidInput("VectorNorm() was given for some of the texts; give it for all, or in a call of its own.")
    plain = subject.plain()
    if plain.model is subject.model and head_of(subject.model) != "none":
        raise InvalidInput(
            f"{type(subject.model).__name__} can't be run without its head, so its last hidden states aren't at hand. Load "
            "the model without one, or give a function of its output."
        )
    places = [place_of(plain, "none", k, position, None) for k, position in enumerate(positions)]
    parts = tuple(RowFunction(place, (), "norm") for place in places)
    return BatchTarget(plain, parts, tuple(f"norm of the hidden state{p.described}" for p in places), False)


def _of_head(subject: Subject, text: int, target: Any, position: int | None) -> tuple[RowFunction, str]:
    """One text's target and its name."""
    head = head_of(subject.model)
    if head == "none":
        raise InvalidInput(
            f"{type(subject.model).__name__} has no head, so there is no class and no token to explain. Load the model with "
            "task=, or give VectorNorm() or a function of its output (in the shell: --task, or a method "
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
            f"target={target!r}; expected {_EXPECTED[head]}. For several texts with a target each, give a list."
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
