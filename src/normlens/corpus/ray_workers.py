"""Workers on a Ray cluster: one actor and one model each; nothing but events goes through Ray's object store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from normlens.corpus.run_plan import Shard, read_plan
from normlens.corpus.workers import DIED, FAILED, READY, Event, ShardWorker, attempted
from normlens.errors import NormLensError, install_command

LOCAL = "local"
"""The address that means: start Ray on this machine."""

_PATIENCE = 600.0  # seconds until the first worker must have started


class RayBackend:
    """Workers that are Ray actors. All machines see the folder of the run under the same path.

    Parameters
    ----------
    folder
        The folder of the run.
    address
        Of a cluster, such as "auto" or "ray://head:10001"; "local" starts Ray on this machine.

    Raises
    ------
    NormLensError
        If Ray isn't installed, or the cluster can't be reached.
    """

    def __init__(self, folder: Path, address: str = LOCAL) -> None:
        try:
            import ray
        except ImportError as error:
            raise NormLensError(f"Ray isn't installed. Run {install_command('ray')}.") from error
        self._ray, self._folder, self._address = ray, folder.resolve(), address
        plan = read_plan(folder)
        on_gpu = str(plan.loading.get("device") or "cpu").startswith("cuda")
        self._resources = {"num_cpus": plan.threads, "num_gpus": 1 if on_gpu else 0}
        self._began = not ray.is_initialized()
        if self._began:
            try:
                ray.init(
                    address=None if address == LOCAL else address, include_dashboard=False if address == LOCAL else None,
                    log_to_driver=False, logging_level="error",
                )  # fmt: skip
            except Exception as error:  # Ray raises many kinds of error for an address that leads nowhere
                raise NormLensError(
                    f"The Ray cluster at {address!r} can't be reached: {str(error).strip().splitlines()[0]} Check the "
                    "address, and that the cluster runs (ray status)."
                ) from error
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, tuple[int, int | None]] = {}  # what an answer is for: worker and shard
        self._answered = False

    def start(self, worker: int) -> None:
        """Start an actor; it is never restarted, since only a new one loads the model anew."""
        actor = self._ray.remote(ShardActor).options(max_restarts=0, **self._resources)
        self._actors[worker] = actor.remote(str(self._folder))
        self._waiting[self._actors[worker].ready.remote(worker)] = (worker, None)

    def submit(self, worker: int, shard: Shard) -> None:
        """Send the shard to the actor."""
        self._waiting[self._actors[worker].run.remote(worker, shard)] = (worker, shard.number)

    def next_event(self) -> Event:
        """Wait for an answer, or for the end of an actor.

        Raises
        ------
        NormLensError
            If no worker starts.
        """
        done, _ = self._ray.wait(list(self._waiting), timeout=None if self._answered else _PATIENCE)
        if not done:
            raise NormLensError(
                f"No worker has started on the Ray cluster within {_PATIENCE:.0f} s; each needs "
                f"{', '.join(f'{value} {name[4:]}' for name, value in self._resources.items() if value)}. See ray status."
            )
        self._answered = True
        worker, shard = self._waiting.pop(done[0])
        try:
            event: Event = self._ray.get(done[0])
        except self._ray.exceptions.RayError as error:
            self._actors.pop(worker, None)
            reason = str(error).strip().splitlines()
            return Event(DIED, worker, shard, f"the worker died: {reason[0] if reason else type(error).__name__}")
        return event

    def stop(self) -> None:
        """End all actors, and Ray if it was started here."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        self._actors, self._waiting = {}, {}
        if self._began:
            self._ray.shutdown()


class ShardActor:
    """A worker on some machine of the cluster.

    Parameters
    ----------
    folder
        The folder of the run.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._worker: ShardWorker | None = None

    def ready(self, number: int) -> Event:
        """Load the model, and compare it with the plan."""
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self._worker = ShardWorker(self._folder)
        except NormLensError as error:
            return Event(FAILED, number, None, str(error), fatal=True)
        return Event(READY, number)

    def run(self, number: int, shard: Shard) -> Event:
        """Compute a shard and commit it."""
        assert self._worker is not None
        return attempted(self._worker, number, shard)
