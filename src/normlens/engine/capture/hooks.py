"""Hooks on modules: ours, on while a context lasts and gone afterwards, and those of others, which are refused.

A hook hears every thread that runs its module. Ours act in the thread that put them on, and let others pass.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

from normlens.errors import UnsupportedArchitecture

_CAPTURING = "transformers.utils.output_capturing"  # hooks for output_attentions=True and the like, which stay

Enter = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any]], None]
Leave = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], None]


@contextmanager
def entered_and_left(modules: Iterable[nn.Module], enter: Enter, leave: Leave) -> Iterator[None]:
    """Tell when each of ``modules`` starts and ends a run, while the context lasts.

    Parameters
    ----------
    modules
        The modules to watch.
    enter
        Called before each run with the module, its arguments and its keyword arguments.
    leave
        Called after each run with the same and what the module returned: None if it raised.
    """
    handles = []
    before, after = in_this_thread(enter), in_this_thread(leave)
    try:
        for module in modules:
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after, with_kwargs=True, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def in_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that acts in the thread that makes it, and changes nothing in others.

    Others may call it with fewer arguments: torch reads how a hook wants to be called from elsewhere, while it comes and
    goes.
    """
    thread = threading.get_ident()

    @functools.wraps(hook)
    def own(*given: Any) -> Any:
        return hook(*given) if threading.get_ident() == thread else None

    return own


@contextmanager
def as_it_is(model: nn.Module) -> Iterator[None]:
    """The model's own function: dropout off, nobody's hooks on its layers. To be entered while the model is locked.

    Raises
    ------
    UnsupportedArchitecture
        Naming the first layer with a hook that isn't ours: it may change what the layer gives, unseen.
    """
    for path, module in model.named_modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if next(module.children(), None) is None and not all(map(is_ours, hooks)):
            raise UnsupportedArchitecture(
                f"{path} carries a forward hook that isn't ours; it may change what the layer gives, unseen by normlens. "
                "Remove the hook before the analysis."
            )
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        with attention_types_kept(model):
            yield
    finally:
        for module in training:
            module.training = True


def switches_attention(model: nn.Module) -> Any:
    """The module with sparse attention that gives it up for good when a text is short (BigBird); None if there is none."""
    if getattr(getattr(model, "config", None), "attention_type", None) != "block_sparse":
        return None
    switching: Any = (m for m in model.modules() if hasattr(m, "set_attention_type"))
    return next((m for m in switching if getattr(m, "attention_type", None) == "block_sparse"), None)


@contextmanager
def attention_types_kept(model: nn.Module) -> Iterator[None]:
    """Let a model that switches its attention by the length of a text be afterwards as it was."""
    switching = switches_attention(model)
    try:
        yield
    finally:
        if switching is not None and switching.attention_type != "block_sparse":
            switching.set_attention_type("block_sparse")


def is_ours(hook: Any) -> bool:
    """Whether a hook is part of normlens (the analysed model is then the one with k units, as was asked for).

    So are transformers' own, which change no number: for gradient checkpointing, and for outputs that were asked for once.
    """
    module = str(getattr(hook, "__module__", ""))
    harmless = getattr(hook, "__name__", "") == "make_inputs_require_grads" or module == _CAPTURING
    return harmless or module.startswith("normlens.")


@contextmanager
def other_forwards(changes: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Let modules run other functions than their own, in this thread; put back after."""
    before: list[tuple[nn.Module, Any]] = []
    try:
        for module, forward in changes:
            before.append((module, module.__dict__.get("forward")))
            module.forward = _in_this_thread(forward, module.forward)
        yield
    finally:
        for module, forward in reversed(before):
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def _in_this_thread(function: Callable[..., Any], elsewhere: Callable[..., Any]) -> Callable[..., Any]:
    thread = threading.get_ident()

    def chosen(*args: Any, **kwargs: Any) -> Any:
        return (function if threading.get_ident() == thread else elsewhere)(*args, **kwargs)

    return chosen
