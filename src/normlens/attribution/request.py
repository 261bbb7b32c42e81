"""Checks of a request, before a model runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from normlens.attribution.method_options import AttributeOptions, MethodOptions
from normlens.attribution.registry import Method, Request, registered
from normlens.attribution.targets.ids import plain_id, plain_target
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.pushforward import DEFAULT_CHUNK
from normlens.errors import InvalidInput, did_you_mean


def checked_request(
    method: Method, scope: str | None, target: Any, position: Any, options: Mapping[str, Any]
) -> Request:
    """A request that a method can answer.

    Parameters
    ----------
    method, scope, target, position, options
        As :meth:`normlens.Lens.attribute` takes them.

    Raises
    ------
    InvalidInput
        If the method has no such scope or option, or a target is missing or not allowed; the message lists the valid ones.
    """
    defaults = {"chunk_size": DEFAULT_CHUNK, "product": "half", **method.options}
    unknown = [name for name in options if name not in defaults]
    if unknown:
        names = [*defaults, *AttributeOptions.__annotations__.keys() - MethodOptions.__annotations__.keys()]
        raise InvalidInput(
            f"{method.name} has no option {unknown[0]!r}; expected one of {', '.join(defaults)}, batch_size, scope, "
            f"target and position.{did_you_mean(unknown[0], names)}"
        )
    chosen = {**defaults, **options}
    _require_count("chunk_size", chosen["chunk_size"])
    if chosen["product"] not in get_args(Product):
        raise InvalidInput(f"product={chosen['product']!r}; expected one of {', '.join(get_args(Product))}.")
    target = plain_target(target)
    position = (
        [plain_id(x, "position") for x in position] if isinstance(position, list) else plain_id(position, "position")
    )
    _check_target(method, target, position)
    own = {name: chosen[name] for name in method.options}
    request = Request(method, _scope(method, scope), target, position, chosen["chunk_size"], chosen["product"], own)
    method.check(request)
    return request


def _scope(method: Method, scope: str | None) -> str | None:
    if scope is None:
        return method.scopes[0] if method.scopes else None
    if scope in method.scopes:
        return scope
    others = [other.name for other in registered().values() if scope in other.scopes]
    if not method.scopes:
        advice = f" Methods with that scope: {', '.join(others)}." if others else ""
        raise InvalidInput(f"{method.name} has no scopes, but scope={scope!r} was passed. Omit it.{advice}")
    raise InvalidInput(f"{method.name} has no scope {scope!r}; expected one of {', '.join(method.scopes)}.")


def _check_target(method: Method, target: Any, position: Any) -> None:
    if target is None and method.targets == "required":
        others = [other.name for other in registered().values() if other.targets != "required"]
        raise InvalidInput(
            f"{method.name} explains a scalar; expected target=, such as a class, a token or a pair of tokens. Methods "
            f"without a target are {', '.join(others)}."
        )
    if target is not None and method.targets == "none":
        others = [other.name for other in registered().values() if other.targets != "none"]
        raise InvalidInput(
            f"{method.name} maps how sources flow into every position and takes no target, but target={target!r:.60} was "
            f"passed. Omit it, or use one of {', '.join(others)}."
        )
    if target is None and position is not None:
        raise InvalidInput(f"position={position!r} was passed without a target. Name what is read there with target=.")


def _require_count(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{name} is {value!r}; expected a positive integer.")
