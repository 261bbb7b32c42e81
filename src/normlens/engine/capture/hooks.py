"""Hooks on modules: our own, which last as long as a context, and foreign ones, which are refused.

A hook is called in every thread that runs its module. Our own act only in the thread that registered them.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from normlens.errors import UnsupportedArchitecture

_CAPTURING = "transformers.utils.output_capturing"  # hooks for output_attentions=True and the like, which stay

Enter = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any]], None]
Leave = Callable[[nn.Module, tuple[Any, ...], Mapping[str, Any], Any], None]


@contextmanager
def enter_and_leave_hooks(modules: Iterable[nn.Module], enter: Enter, leave: Leave) -> Iterator[None]:
    """Report when each of ``modules`` starts and ends a run, while the context lasts.

    Parameters
    ----------
    modules
        The modules to watch.
    enter
        Called before each run with the module, its arguments and its keyword arguments.
    leave
        Called after each run with the same arguments and the module's output: None if it raised.
    """
    modules, handles, before = list(modules), list[RemovableHandle](), in_this_thread(enter)
    try:
        for module in modules:
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        with leave_hooks(modules, leave):
            yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def leave_hooks(modules: Iterable[nn.Module], leave: Leave) -> Iterator[None]:
    """Report when each of ``modules`` ends a run, as :func:`enter_and_leave_hooks` does."""
    handles, after = list[RemovableHandle](), in_this_thread(leave)
    try:
        for module in modules:
            handles.append(module.register_forward_hook(after, with_kwargs=True, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def in_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook that acts in the thread that creates it, and does nothing in others.

    Other threads may call it with fewer arguments: while a hook is registered or removed, torch may not yet know its calling
    convention.
    """
    thread = threading.get_ident()

    @functools.wraps(hook)
    def own(*args: Any) -> Any:
        return hook(*args) if threading.get_ident() == thread else None

    return own


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Switch the model to evaluation mode while this lasts, and refuse foreign hooks on its layers. Lock the model first.

    Raises
    ------
    UnsupportedArchitecture
        Naming the first layer with a foreign hook, which may change the layer's output unseen.
    """
    for path, module in model.named_modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if next(module.children(), None) is None and not all(map(is_ours, hooks)):
            raise UnsupportedArchitecture(
                f"{path} has a forward hook that normlens did not register; it may change the layer's output unseen. "
                "Remove the hook before the analysis."
            )
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        with attention_type_restored(model):
            yield
    finally:
        for module in training:
            module.training = True


def switches_attention(model: nn.Module) -> Any:
    """The module with sparse attention that a short text switches off permanently (BigBird); None if there is none."""
    if getattr(getattr(model, "config", None), "attention_type", None) != "block_sparse":
        return None
    switching: Any = (m for m in model.modules() if hasattr(m, "set_attention_type"))
    return next((m for m in switching if getattr(m, "attention_type", None) == "block_sparse"), None)


@contextmanager
def attention_type_restored(model: nn.Module) -> Iterator[None]:
    """Restore the model's attention type, which some models switch by text length, at the end."""
    switching = switches_attention(model)
    try:
        yield
    finally:
        if switching is not None and switching.attention_type != "block_sparse":
            switching.set_attention_type("block_sparse")


def is_ours(hook: Any) -> bool:
    """Whether a hook is part of normlens, such as one that restricts a model to its top k units.

    Hooks of transformers that change no numbers also count: for gradient checkpointing, and for collecting outputs.
    """
    module = str(getattr(hook, "__module__", ""))
    harmless = getattr(hook, "__name__", "") == "make_inputs_require_grads" or module == _CAPTURING
    return harmless or module.startswith("normlens.")


@contextmanager
def replaced_forwards(changes: Iterable[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Replace the forward functions of modules in this thread while this lasts."""
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
