"""The names of a classifier's classes, from the two tables of its config; tables that disagree are refused."""

from __future__ import annotations

import difflib
from typing import Any

from transformers import PreTrainedConfig

from normlens.errors import InvalidInput

_MOST_LISTED = 20


def class_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """The name of each class.

    ``id2label`` names the classes. If it holds only the default, such as ``LABEL_3``, ``label2id`` may name the class.
    Defaults in ``label2id`` are ignored.

    Parameters
    ----------
    config
        The config of a model with classes.

    Returns
    -------
    tuple of str, ``(class,)``

    Raises
    ------
    InvalidInput
        If ``id2label`` and ``label2id`` contradict each other, or name a class that the model doesn't have.
    """
    count = int(config.num_labels or 0)
    listed = {_number(key, "id2label"): str(name).strip() for key, name in (config.id2label or {}).items()}
    extra = next((number for number in listed if not 0 <= number < count), None)
    if extra is not None:
        raise InvalidInput(
            f"The config's id2label names a class {extra} ({listed[extra]!r}), but the model has {count} classes, 0 to "
            f"{count - 1}. Correct id2label."
        )
    names = {number: _default(number) for number in range(count)} | listed
    taken = {name.casefold() for name in names.values()}
    for name, key in (config.label2id or {}).items():
        number, name = _number(key, "label2id"), str(name).strip()
        agrees = names.get(number, "").casefold() == name.casefold()
        if agrees or (name == _default(number) and name.casefold() not in taken):
            continue
        if names.get(number) != _default(number) or name.casefold() in taken:
            raise _contradiction(name, number, names.get(number))
        names[number] = name
    return tuple(names[number] for number in range(count))


def class_number(config: PreTrainedConfig, target: str | int, owner: str) -> int:
    """The number of a class by its name, ignoring case, or by its number.

    Parameters
    ----------
    config
        The config of a model with classes.
    target
        Name or number.
    owner
        Class of the model, for messages.

    Raises
    ------
    InvalidInput
        If there is no such class, or several have this name; also as :func:`class_names`.
    """
    names = class_names(config)
    matches = _called(names, target) if isinstance(target, str) else [k for k in range(len(names)) if k == target]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise InvalidInput(
            f"{len(matches)} classes of {owner} are called {target!r}: {', '.join(map(str, matches))}. Use the class's "
            "number."
        )
    listed = ", ".join(f"{name!r} ({number})" for number, name in enumerate(names[:_MOST_LISTED]))
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    near = difflib.get_close_matches(str(target), names, n=1, cutoff=0.6)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidInput(f"{owner} has no class {target!r}; its {len(names)} are {listed}{more}.{guess}")


def _called(names: tuple[str, ...], wanted: str) -> list[int]:
    """The classes with a name: those with the same case if there are any, else those that differ only in case."""
    exact = [number for number, name in enumerate(names) if name == wanted.strip()]
    return exact or [number for number, name in enumerate(names) if name.casefold() == wanted.strip().casefold()]


def _default(number: int) -> str:
    """The name that transformers gives an unnamed class."""
    return f"LABEL_{number}"


def _number(key: Any, table: str) -> int:
    try:
        return int(key)
    except (TypeError, ValueError):
        raise InvalidInput(
            f"The config's {table} holds {key!r} where the number of a class was expected. Correct {table}."
        ) from None


def _contradiction(name: str, number: int, other: str | None) -> InvalidInput:
    is_called = f"is {other!r}" if other is not None else "doesn't exist"
    return InvalidInput(
        f"The config contradicts itself: label2id gives {name!r} the number {number}, but class {number} {is_called} by "
        "id2label. Correct the wrong one; an empty label2id leaves the names to id2label."
    )
