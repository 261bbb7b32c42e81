"""The unfrozen model as a plain function of its sources' vectors, as captum requires."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.attribution.arrays import shares
from normlens.attribution.targets.scalars import BatchTarget
from normlens.engine.capture.running import running_calls
from normlens.engine.frozen.run import refuse_inference_mode
from normlens.engine.frozen.sites import hooked
from normlens.engine.frozen.sources import hooked_inputs_embeds, names_sources, source_modules
from normlens.engine.precision import double
from normlens.errors import InvalidInput, NormLensError, UnsupportedArchitecture, install_command
from normlens.memory import is_out_of_memory


@dataclass(frozen=True)
class Embedded:
    """A target as a function of the vectors that enter the model: its token embeddings, before positions are added.

    Attributes
    ----------
    target
        What is explained.
    vectors
        The vectors of each place where sources enter, ``(batch, source, d)``.
    groups
        Label and number of sources of each place.
    tables
        The module whose output enters at each place.
    """

    target: BatchTarget
    vectors: tuple[Float[Tensor, "batch source d"], ...]
    groups: tuple[tuple[str, int], ...]
    tables: tuple[nn.Module, ...]

    @classmethod
    def of(cls, target: BatchTarget) -> Embedded:
        """Run the model once and record the vectors that enter at each place."""
        subject = target.subject
        seen: list[tuple[str, Tensor]] = []
        tables: list[nn.Module] = []

        def record(label: str, x: Tensor, table: nn.Module) -> None:
            seen.append((label, x.detach()))
            tables.append(table)

        with torch.no_grad(), _entered(subject.model, record):
            subject.run(subject.inputs)
        if not seen or any(x.ndim != 3 or x.shape[0] != len(subject) for _, x in seen):
            raise UnsupportedArchitecture(
                f"{type(subject.model).__name__}: expected one vector per position to enter, got tensors of shapes "
                f"{[tuple(x.shape) for _, x in seen]}. Gradients need embeddings; use method='decompx'."
            )
        groups = tuple((label, x.shape[1]) for label, x in seen)
        return cls(target, tuple(x for _, x in seen), groups, tuple(tables))

    def __call__(self, *vectors: Float[Tensor, "rows source d"]) -> Float[Tensor, " rows"]:
        """The target if these vectors enter instead; rows: the batch, repeated any number of times, or its first rows."""
        subject, batch, rows = self.target.subject, len(self.target.subject), vectors[0].shape[0]
        texts = [row % batch for row in range(rows)]
        inputs = {name: x[torch.tensor(texts, device=x.device)] for name, x in subject.inputs.items()}
        with entering(subject.model, vectors):
            output = subject.run(inputs)
        return self.target.value(output, texts)

    def explained_by(self, explainer: str, /, **options: Any) -> list[Float[Tensor, "batch source d"]]:
        """The result of a class of ``captum.attr``, per place where sources enter.

        Parameters
        ----------
        explainer
            Name of the class.
        **options
            Options of its method ``attribute``.

        Raises
        ------
        InvalidInput
            If captum is not installed, or in inference mode.
        UnsupportedArchitecture
            If the target can't be differentiated at the embeddings.
        """
        refuse_inference_mode(self.target.subject.model)
        captum = captum_class(explainer)(self)
        vectors = tuple(x.clone().requires_grad_() for x in self.vectors)
        try:
            with torch.enable_grad():
                return [x.detach() for x in captum.attribute(vectors, **options)]
        except NormLensError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UnsupportedArchitecture(
                f"{type(self.target.subject.model).__name__}: the target has no gradient at the embeddings: {error}. "
                "Use method='decompx'."
            ) from error

    def results(self, products: Sequence[Float[Tensor, "batch source d"]], rule: str, base: Tensor | None) -> list[Any]:
        """One array of signed shares per text: captum's result summed over dimensions.

        Parameters
        ----------
        products
            Captum's results, per place where sources enter.
        rule
            How the numbers were computed, for ``attrs``.
        base
            The target's value at the baseline, ``(batch,)``, if shares add up to the difference; else None.
        """
        subject, summed = self.target.subject, torch.cat([double(x).sum(-1) for x in products], dim=1)
        values = double(self.target.value(subject.output))
        results = []
        for text in range(len(subject)):
            placed = subject.sources(text, self.groups)
            kept = torch.cat([summed[text, where] for _, _, where in placed])
            bias = float(values[text] - kept.sum() if base is None else base[text])
            gap = abs(float(values[text] - kept.sum()) - bias)
            scale = float(kept.abs().sum()) + abs(bias)
            attrs = {
                "target": self.target.names[text],
                "value": float(values[text]),
                "bias_share": bias,
                "conservation_error": float("nan") if base is None else gap / scale if scale else 0.0,
                "rule": rule,
            }
            results.append(shares(kept.cpu(), [(side, tokens) for side, tokens, _ in placed], attrs))
        return results


def captum_class(name: str) -> Any:
    """A class of ``captum.attr``.

    Raises
    ------
    InvalidInput
        If captum is not installed.
    """
    try:
        return getattr(importlib.import_module("captum.attr"), name)
    except ImportError as error:
        raise InvalidInput(
            f"This method needs captum, which is not installed ({error}). Run `{install_command('compare')}`, or use "
            "method='decompx', which needs no further package."
        ) from error


@contextmanager
def entering(model: PreTrainedModel, vectors: Sequence[Float[Tensor, "batch source d"]]) -> Iterator[None]:
    """Let these vectors enter instead of the model's own, in the order of their places, at every run."""
    upcoming = cycle(vectors)
    with _entered(model, lambda label, x, table: next(upcoming).clone()):  # the model may write into it
        yield


@contextmanager
def _entered(model: PreTrainedModel, change: Any) -> Iterator[None]:
    """Pass what enters at the sources to ``change``: path of the innermost running submodel, vectors, embedding module."""
    labels = {module: path for path, module in model.named_modules() if names_sources(path, module)}

    def show(table: nn.Module, x: Tensor, channel: int) -> Any:
        return change(next((labels[call.module] for call in running_calls() if call.module in labels), ""), x, table)

    with ExitStack() as stack:
        for module in source_modules(model):
            stack.enter_context(hooked(module, "output", partial(show, module)))
        table = model.get_input_embeddings
        stack.enter_context(hooked_inputs_embeds(model, lambda x: _kept(change("", x, table()), x)))
        yield


def _kept(changed: Tensor | None, x: Tensor) -> Tensor:
    return x if changed is None else changed
