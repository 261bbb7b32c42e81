"""Sites: the input or output of a module of a model, and how to read or replace it during a run."""

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
    """One site in a model: the input or the output of a module.

    Attributes
    ----------
    path
        Path of the module, as in ``model.get_submodule``; empty for the model itself.
    side
        Its first floating tensor argument ("input"), or the first floating tensor that it returns ("output").
    occurrence
        The call at which sources enter, counted from 0, if the module runs several times.

    Raises
    ------
    InvalidInput
        If ``side`` is neither.
    """

    path: str
    side: Side = "output"
    occurrence: int = 0

    def __post_init__(self) -> None:
        if self.side not in get_args(Side):
            raise InvalidInput(f"A site's side is {self.side!r}; expected 'input' or 'output'.")


def as_site(site: object) -> Site:
    """``site`` as a :class:`Site`; a path stands for the module's output.

    Raises
    ------
    InvalidInput
        If it is neither a path nor a site.
    """
    if not isinstance(site, str | Site):
        raise InvalidInput(
            f"{type(site).__name__} is not a site in the model; expected a module path, such as 'encoder.layer.0', "
            "or a normlens.engine.frozen.Site."
        )
    return Site(site) if isinstance(site, str) else site


def submodule(model: nn.Module, path: str) -> nn.Module:
    """The module of ``model`` at ``path``.

    Raises
    ------
    InvalidInput
        If there is none; the message suggests similar paths.
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
    """Pass the first floating tensor at a site and its channel axis to ``change``, and continue with its result.

    Calls of the module with an argument for which ``skip`` is true are unchanged.
    """
    channel = 1 if side == "output" and isinstance(module, CONVOLUTIONS) else -1

    def changed(tree: Any) -> Any:
        tensor = first_tensor(tree)
        new = None if tensor is None else change(tensor, channel)
        return tree if tensor is None or new is None else swapped(tree, tensor, new)

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
