"""The methods of attribution by name: what each one is, where it comes from, what it may be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from normlens.errors import InvalidInput, did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from normlens.attribution.subject import Subject
    from normlens.engine.frozen.call import Product

Needs = Literal["none", "optional", "required"]
HOMES: tuple[str, ...] = (
    "rollout", "flow", "norm_rollout", "alti", "alti_plus", "decompx", "logit", "alti_logit", "value_zeroing",
    "gradient_input", "integrated_gradients",
)  # fmt: skip
"""The methods, in the order in which they are listed; each is the ``METHOD`` of the module of its name."""


@dataclass(frozen=True)
class Request:
    """What is asked of a method.

    Attributes
    ----------
    scope
        One of the method's scopes; None where it has none.
    targets
        What is to be explained, one per text, as the caller gave it; None where nothing was named. See
        :func:`normlens.attribution.targets.scalars.resolve`.
    positions
        Where the target is read, one per text; None for the usual place.
    chunk_size
        How many sources (or targets) are held in memory at a time.
    product
        How the derivative of a product of two live factors is split, as in :func:`normlens.engine.frozen.pull_back`.
    options
        All of the method's options, by name.
    """

    scope: str | None
    targets: tuple[Any, ...] | None
    positions: tuple[int | None, ...] | None
    chunk_size: int
    product: Product
    options: Mapping[str, Any]


Run = Callable[["Subject", Request], "list[xr.DataArray]"]


@dataclass(frozen=True)
class Method:
    """A method of attribution.

    Attributes
    ----------
    name
        What :meth:`normlens.Lens.attribute` calls it.
    meaning
        One sentence.
    source
        The paper.
    scopes
        What it may be followed to, the default first; empty if it has no scopes.
    targets
        Whether it explains something that is to be named: a class, a token's logit, any scalar.
    signed
        Whether its numbers have signs.
    exact
        Whether they add up, with the bias share, to what is explained.
    run
        From the subject and the request to one array per text. The array's ``attrs`` hold what only the method knows
        (``value``, ``bias_share``, ``conservation_error``, ``rule``); the lens adds the rest.
    options
        Further options and their defaults.
    check
        Refuses values of options that it can't take, before a model runs; the request has no targets yet.
    """

    name: str
    meaning: str
    source: str
    scopes: tuple[str, ...]
    targets: Needs
    signed: bool
    exact: bool
    run: Run
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    check: Callable[[Request], None] = lambda request: None


@cache
def registered() -> Mapping[str, Method]:
    """All methods by name."""
    return MappingProxyType({name: _imported(name) for name in HOMES})


def _imported(name: str) -> Method:
    method: Method = import_module(f"normlens.attribution.methods.{name}").METHOD
    return method


def method_named(name: object) -> Method:
    """The method called ``name``.

    Raises
    ------
    InvalidInput
        If there is none, with those whose names are most alike.
    """
    check_method(name)
    return _imported(str(name))


def check_method(name: object) -> None:
    """Refuse a name that no method has; nothing is imported for it.

    Raises
    ------
    InvalidInput
        With the names that are most alike.
    """
    if isinstance(name, str) and name in HOMES:
        return
    raise InvalidInput(
        f"There is no method {name!r}; expected one of {', '.join(HOMES)}.{did_you_mean(name, HOMES, 2)}"
    )


def methods() -> pd.DataFrame:
    """The methods of attribution: a table of name, meaning, scopes, target, sign, exactness and source."""
    import pandas as pd

    rows = [
        {
            "name": method.name,
            "meaning": method.meaning,
            "scopes": ", ".join(method.scopes),
            "target": method.targets,
            "signed": method.signed,
            "exact": method.exact,
            "source": method.source,
        }
        for method in registered().values()
    ]
    return pd.DataFrame(rows)
