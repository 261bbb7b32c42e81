"""Hooks on modules: on while a context lasts, and gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn

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
    try:
        for module in modules:
            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, with_kwargs=True, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
