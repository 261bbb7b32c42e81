"""From what the caller wrote to a request that a method can take; what can't be asked is refused here, at the door."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, get_args

from normlens.attribution.method_options import AttributeOptions, MethodOptions
from normlens.attribution.registry import Method, Request, registered
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.pushforward import DEFAULT_CHUNK
from normlens.errors import InvalidInput, did_you_mean


@dataclass(frozen=True)
class Question:
    """What is asked of a method about texts that are still to come: a request without its targets.

    Attributes
    ----------
    method
        The method.
    request
        Scope and options.
    target, position
        As the caller gave them: a list holds one for each text, anything else is for all.
    """

    method: Method
    request: Request
    target: Any
    position: Any

    def targets(self) -> Iterator[tuple[Any, int | None]]:
        """Target and position of each text, in order."""
        given = iter(self.target) if isinstance(self.target, list) else repeat(self.target)
        positions = iter(self.position) if isinstance(self.position, list) else repeat(self.position)
        return zip(given, positions, strict=False)

    def of(self, targets: Sequence[tuple[Any, int | None]]) -> Request:
        """The request about texts with these targets and positions."""
        if self.target is None:
            return self.request
        given, positions = zip(*targets, strict=True)
        return replace(self.request, targets=tuple(given), positions=tuple(positions))


def question(method: Method, scope: str | None, target: Any, position: Any, options: Mapping[str, Any]) -> Question:
    """Check what is asked of a method.

    Parameters
    ----------
    method, scope, target, position, options
        As :meth:`normlens.Lens.attribute` takes them.

    Raises
    ------
    InvalidInput
        If the method has no such scope or option, or a target is missing or not wanted; with what would work.
    """
    known = {"chunk_size": DEFAULT_CHUNK, "product": "half", **method.options}
    unknown = [name for name in options if name not in known]
    if unknown:
        names = [*known, *AttributeOptions.__annotations__.keys() - MethodOptions.__annotations__.keys()]
        raise InvalidInput(
            f"{method.name} has no option {unknown[0]!r}; expected one of {', '.join(known)}, batch_size, scope, target and "
            f"position.{did_you_mean(unknown[0], names)}"
        )
    chosen = {**known, **options}
    _require_count("chunk_size", chosen["chunk_size"])
    if chosen["product"] not in get_args(Product):
        raise InvalidInput(f"product={chosen['product']!r}; expected one of {', '.join(get_args(Product))}.")
    _check_target(method, target, position)
    rest = {name: chosen[name] for name in method.options}
    request = Request(_scope(method, scope), None, None, chosen["chunk_size"], chosen["product"], rest)
    method.check(request)
    return Question(method, request, target, position)


def _scope(method: Method, scope: str | None) -> str | None:
    if scope is None:
        return method.scopes[0] if method.scopes else None
    if scope in method.scopes:
        return scope
    others = [other.name for other in registered().values() if scope in other.scopes]
    if not method.scopes:
        advice = f" Methods with that scope: {', '.join(others)}." if others else ""
        raise InvalidInput(f"scope={scope!r} was given, but {method.name} has no scopes. Leave it out.{advice}")
    raise InvalidInput(f"{method.name} has no scope {scope!r}; expected one of {', '.join(method.scopes)}.")


def _check_target(method: Method, target: Any, position: Any) -> None:
    if target is None and method.targets == "required":
        others = [other.name for other in registered().values() if other.targets != "required"]
        raise InvalidInput(
            f"{method.name} explains a scalar; expected target=, such as a class, a token or a pair of tokens. Without a "
            f"target there are {', '.join(others)}."
        )
    if target is not None and method.targets == "none":
        others = [other.name for other in registered().values() if other.targets != "none"]
        raise InvalidInput(
            f"{method.name} says how sources flow into every position and knows no target, but target={target!r:.60} was "
            f"given. Leave it out, or choose one of {', '.join(others)}."
        )
    if target is None and position is not None:
        raise InvalidInput(
            f"position={position!r} was given without a target. Name what is to be read there with target=."
        )


def _require_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{name} is {value!r}; expected a whole number, at least 1.")
