"""Locks: one analysis of a model at a time, one forward-mode derivative per process, no fork during an analysis.

An analysis registers hooks on a model, switches dropout and parameter gradients off, and restores everything. Plain runs in
other threads are unaffected; a second analysis would not be. Locks are taken in a fixed order, so that no deadlock can
occur: first the model's, then that of forward-mode differentiation.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn
from torch.autograd import forward_ad
from transformers import PretrainedConfig

from normlens.errors import InvalidInput
from normlens.loading.configs import configs_of

_LOCKS: dict[int, threading.RLock] = {}  # by id of the config
_GUARD = threading.Lock()
_DUAL = threading.RLock()


class _Forks:
    """The threads that analyze; a fork waits for them, and new analyses wait for the fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: Counter[int] = Counter()
        self._forking = 0

    @contextmanager
    def wait(self) -> Iterator[None]:
        """Make forks of other threads wait while this lasts."""
        thread = threading.get_ident()
        with self._changed:
            if thread not in self._running:
                self._changed.wait_for(lambda: not self._forking)
            self._running[thread] += 1
        try:
            yield
        finally:
            with self._changed:
                self._running[thread] -= 1
                if not self._running[thread]:
                    del self._running[thread]
                self._changed.notify_all()

    def before(self) -> None:
        """Wait until no other thread analyzes; a thread that forks inside its own analysis doesn't wait."""
        thread = threading.get_ident()
        with self._changed:
            self._forking += 1
            if thread not in self._running:
                self._changed.wait_for(lambda: not self._running)

    def after_in_parent(self) -> None:
        """Let waiting analyses start."""
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()

    def after_in_child(self) -> None:
        """Keep only the thread that forked: no other exists in the child."""
        thread = threading.get_ident()
        self._changed, self._forking = threading.Condition(), 0
        self._running = Counter({thread: self._running[thread]} if thread in self._running else {})


_FORKS = _Forks()


class _Held(threading.local):
    """The locks that this thread holds, by model, so that it can enter again without a lookup."""

    def __init__(self) -> None:
        self.locks: dict[nn.Module, list[threading.RLock]] = {}


_HELD = _Held()


@contextmanager
def no_fork() -> Iterator[None]:
    """Keep other threads from forking the process while this lasts.

    A fork copies only the thread that forks: in the child, the other threads' hooks, locks and changed settings would stay
    in place forever.
    """
    with _FORKS.wait():
        yield


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Analyze a model, its submodels, and other models with the same config in one thread at a time; other threads wait.

    A thread that already holds the model may enter again.
    """
    held = _HELD.locks
    outermost = model not in held
    with no_fork(), ExitStack() as stack:
        locks = _locks_of(model) if outermost else held[model]
        for lock in locks:
            stack.enter_context(lock)
        held[model] = locks
        try:
            yield
        finally:
            if outermost:
                held.pop(model, None)


@contextmanager
def dual_level() -> Iterator[None]:
    """Torch's level of forward-mode differentiation. A process has only one, so threads take turns.

    Enter it while holding the model's lock: see the order of locks at the start of this module.

    Raises
    ------
    InvalidInput
        If a level is already open outside normlens, in any thread.
    """
    with _DUAL:
        if forward_ad._current_level >= 0:
            raise InvalidInput(
                "torch.autograd.forward_ad.dual_level() is already open; torch can't nest it and has only one for all "
                "threads, so nothing can be pushed forward. Leave it first."
            )
        with forward_ad.dual_level():
            yield


def share_lock(config: PretrainedConfig, original: PretrainedConfig) -> None:
    """Share the lock of ``original`` with a config that replaces it in its model."""
    lock = _lock_of(original)
    with _GUARD:
        _LOCKS[id(config)] = lock
        weakref.finalize(config, _LOCKS.pop, id(config), None)


def _locks_of(model: nn.Module) -> list[threading.RLock]:
    """The locks of a model's configs, each once, in the order in which every thread takes them."""
    locks = {id(lock): lock for lock in map(_lock_of, configs_of(model))}
    return [locks[key] for key in sorted(locks)]


def _lock_of(config: PretrainedConfig) -> threading.RLock:
    with _GUARD:
        if id(config) not in _LOCKS:
            _LOCKS[id(config)] = threading.RLock()
            weakref.finalize(config, _LOCKS.pop, id(config), None)
        return _LOCKS[id(config)]


def _forget_other_threads() -> None:
    """In a new process, drop the locks of threads that don't exist there."""
    global _GUARD, _DUAL
    _FORKS.after_in_child()
    _GUARD = threading.Lock()
    for key, lock in list(_LOCKS.items()):
        if not lock._is_owned():  # type: ignore[attr-defined]
            del _LOCKS[key]
    _DUAL = _DUAL if _DUAL._is_owned() else threading.RLock()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_FORKS.before, after_in_parent=_FORKS.after_in_parent, after_in_child=_forget_other_threads
    )
