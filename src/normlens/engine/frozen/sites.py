"""Places in a model: what goes into a module or comes out of it, and how to change it on the way."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor, nn

from normlens.engine.capture.hooks import in_this_thread
from normlens.engine.capture.trees import first_tensor, swapped
from normlens.errors import InvalidInput

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
Side = Literal["input", "output"]


@dataclass(frozen=True)
class Site:
    """One place in a model: what goes into a module, or what comes out of it.

    Attributes
    ----------
    path
        Path of the module, as in ``model.get_submodule``; empty for the model itself.
    side
        Its first floating tensor argument ("input"), or the first floating tensor that it returns ("output").
    occurrence
        At which of its calls sources enter, counted from 0, where the module runs several times.

    Raises
    ------
    InvalidInput
        If there is no such side.
    """

    path: str
    side: Side = "output"
    occurrence: int = 0

    def __post_init__(self) -> None:
        if self.side not in get_args(Side):
            raise InvalidInput(f"A site's side is {self.side!r}; expected 'input' or 'output'.")


def sites(site: object) -> Site:
    """``site``, a path standing for the module's output.

    Raises
    ------
    InvalidInput
        If it is neither a path nor a site.
    """
    if not isinstance(site, str | Site):
        raise InvalidInput(
            f"{type(site).__name__} was given where a place in the model is meant; expected a module path, such as "
            "'encoder.layer.0', or a normlens.engine.frozen.Site."
        )
    return Site(site) if isinstance(site, str) else site


def submodule(model: nn.Module, path: str) -> nn.Module:
    """The module of ``model`` at ``path``.

    Raises
    ------
    InvalidInput
        If there is none, with those whose paths are most alike.
    """
    paths: dict[str, nn.Module] = dict(model.named_modules())
    if path not in paths:
        near = difflib.get_close_matches(path, paths, n=3, cutoff=0.5)
        guess = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise InvalidInput(
            f"{type(model).__name__} has no module {path!r}; expected one of the paths of model.named_modules().{guess}"
        )
    return paths[path]


@contextmanager
def hooked(
    module: nn.Module,
    side: Side,
    change: Callable[[Tensor, int], Tensor | None],
    skip: Callable[[Tensor], bool] = lambda x: False,
) -> Iterator[None]:
    """Show the first floating tensor at a site to ``change``, with its channel axis, and go on with what it returns.

    A call of the module with an argument that ``skip`` names is left alone.
    """
    channel = 1 if side == "output" and isinstance(module, CONVOLUTIONS) else -1

    def changed(tree: Any) -> Any:
        found = first_tensor(tree)
        new = None if found is None else change(found, channel)
        return tree if found is None or new is None else swapped(tree, found, new)

    def before(module: nn.Module, args: Any, kwargs: Any) -> Any:
        if any(skip(x) for x in (*args, *kwargs.values()) if isinstance(x, Tensor)):
            return args, kwargs
        whole = changed({"args": args, "kwargs": kwargs})
        return whole["args"], whole["kwargs"]

    def after(module: nn.Module, args: Any, output: Any) -> Any:
        return output if any(skip(x) for x in args if isinstance(x, Tensor)) else changed(output)

    if side == "output":
        handle = module.register_forward_hook(in_this_thread(after))
    else:
        handle = module.register_forward_pre_hook(in_this_thread(before), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
