"""The methods of attribution by name, each with its meaning, source, scopes, targets and options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from itertools import repeat
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from normlens.errors import InvalidInput, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from normlens.attribution.arrays import Attribution
    from normlens.attribution.subject import Subject
    from normlens.engine.frozen.call import Product

Needs = Literal["none", "optional", "required"]
HOMES: tuple[str, ...] = (
    "rollout", "flow", "norm_rollout", "alti", "alti_plus", "decompx", "logit", "alti_logit", "value_zeroing",
    "gradient_input", "integrated_gradients", "occlusion", "shapley", "contextcite",
)  # fmt: skip
"""The methods, in the order in which they are listed; each is the ``METHOD`` of the module of its name."""

import_module("normlens.attribution.methods")  # binds its name in the package before the function `methods` does


@dataclass(frozen=True)
class Request:
    """A method with its target, position and options.

    Attributes
    ----------
    method
        The method.
    scope
        One of the method's scopes; None if it has none.
    target, position
        What is explained and where it is read, as the caller wrote it: a list holds one for each text, anything else
        applies to all.
    chunk_size
        Number of sources (or targets) that are held in memory at a time.
    product
        How the derivative of a product of two live factors is split, as in :func:`normlens.engine.frozen.pull_back`.
    options
        All of the method's options, by name.
    targets
        What is explained, one for each text of the batch; None before there is a batch, or if no target was named.
        See :func:`normlens.attribution.targets.resolve.resolve`.
    positions
        Where each target is read; None stands for the default position.
    grouping
        The spans of the prompt that are the sources, a :class:`~normlens.attribution.whole_answers.context_prompt.Grouping`;
        None for the method's own: tokens, or words.
    start
        Position of the first token of an answer in the text; None if there is none, or a decoder reads it apart.
    """

    method: Method
    scope: str | None
    target: Any
    position: Any
    chunk_size: int
    product: Product
    options: Mapping[str, Any]
    targets: tuple[Any, ...] | None = None
    positions: tuple[int | None, ...] | None = None
    grouping: Any = None
    start: int | None = None

    def pairs(self) -> Iterator[tuple[Any, int | None]]:
        """Target and position of each text, in order."""
        targets = iter(self.target) if isinstance(self.target, list) else repeat(self.target)
        positions = iter(self.position) if isinstance(self.position, list) else repeat(self.position)
        return zip(targets, positions, strict=False)

    def singly(self) -> list[Request]:
        """One request for each of the batch's targets."""
        rows = zip(self.targets or (), self.positions or (), strict=True)
        return [replace(self, targets=(target,), positions=(position,)) for target, position in rows]

    def for_batch(self, pairs: Sequence[tuple[Any, int | None]]) -> Request:
        """The request for a batch of texts with these targets and positions."""
        if self.target is None:
            return self
        targets, positions = zip(*pairs, strict=True)
        return replace(self, targets=targets, positions=positions)


Run = Callable[["Subject", Request], "list[Attribution]"]


@dataclass(frozen=True)
class Method:
    """A method of attribution.

    Attributes
    ----------
    name
        Its name in :meth:`normlens.Lens.attribute`.
    meaning
        One sentence.
    source
        The paper.
    scopes
        How far into each block contributions may be followed, the default first; empty if it has no scopes.
    targets
        Whether it explains a target: a class, a token's logit, any scalar.
    signed
        Whether its numbers have signs.
    exact
        Whether they and the bias share add up to the target.
    run
        Takes the subject and the request, and returns one array per text. The array's ``attrs`` hold ``value``,
        ``bias_share``, ``conservation_error`` and ``rule``; the lens adds the others.
    options
        The method's own options and their defaults.
    check
        Refuses invalid values of options before a model runs; the request has no targets yet.
    run_each
        Explains several targets in one text: takes a subject with one text and a request with any number of targets, and
        returns one array per target; None if the model runs once for each.
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
    run_each: Run | None = None


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
        If there is none; the message suggests the nearest names.
    """
    check_method(name)
    return _imported(str(name))


def check_method(name: object) -> None:
    """Refuse a name that no method has, without importing any method.

    Raises
    ------
    InvalidInput
        Suggesting the nearest names.
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
