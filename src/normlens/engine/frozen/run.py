"""A frozen run of the unmodified model: its settings and its sources; everything is restored afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, get_args

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.engine.capture.eager_check import compare_with_eager, kept_functions_explained
from normlens.engine.capture.hooks import switches_attention
from normlens.engine.capture.output_gap import real_positions
from normlens.engine.capture.running import running_calls
from normlens.engine.failures import explained_failure
from normlens.engine.frozen.call import Product
from normlens.engine.frozen.directions import Direction
from normlens.engine.frozen.hidden import hidden_activations_shown
from normlens.engine.frozen.mode import FrozenMode
from normlens.engine.frozen.settings import constant_parameters, plain_settings
from normlens.engine.frozen.sites import Side, Site, as_site, hooked, submodule
from normlens.engine.frozen.sources import hooked_inputs_embeds, names_sources, source_modules
from normlens.engine.trained import require_trained
from normlens.errors import InvalidInput, NormLensError, UnsupportedArchitecture
from normlens.memory import is_out_of_memory

SEQUENCE_FIRST = "XLNet"


class FrozenRun:
    """A model that runs frozen while :func:`frozen_run` lasts."""

    def __init__(self, model: PreTrainedModel, direction: Direction, product: Product, batch: int) -> None:
        self.model = model
        self.direction = direction
        self.batch = batch
        self.paths: dict[nn.Module, str] = {module: path for path, module in model.named_modules()}
        self.inputs: Mapping[str, Any] | None = None
        self.sequence_first = type(model).__name__.startswith(SEQUENCE_FIRST)
        self.mode = FrozenMode(direction, product, self.where)

    def running(self) -> Iterator[tuple[str, nn.Module]]:
        """The running modules with their paths, innermost first."""
        return ((self.paths[call.module], call.module) for call in running_calls() if call.module in self.paths)

    def where(self) -> str:
        """The innermost running module, for messages."""
        path, module = next(self.running(), ("", self.model))
        return f"module {path!r} ({type(module).__name__})" if path else f"the model ({type(module).__name__})"

    def read(self, inputs: Mapping[str, Any], what: str | Site | Callable[[Any], Tensor]) -> Tensor:
        """Run the model, and read the tensor at a site (of its last call), or a scalar of the output.

        Raises
        ------
        InvalidInput
            If no tensor passed the site, or the scalar isn't one number per row.
        """
        self.inputs = inputs = {n: x.detach() if isinstance(x, Tensor) else x for n, x in inputs.items()}
        if callable(what):
            with self.mode:
                return self._checked(what(self.model(**inputs)))
        site = as_site(what)
        tensors: list[Tensor] = []
        with hooked(submodule(self.model, site.path), site.side, lambda x, channel: tensors.append(x)), self.mode:
            self.model(**inputs)
        if not tensors:
            raise InvalidInput(f"No floating tensor passed the {site.side} of {site.path!r}. Name a module that runs.")
        return tensors[-1]

    def _checked(self, value: object) -> Tensor:
        """``value``, if it is one number per row."""
        if isinstance(value, Tensor) and value.shape == (self.batch,):
            return value
        seen = f"has shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"is a {type(value).__name__}"
        raise InvalidInput(
            f"The scalar {seen}; one number per row, a tensor of shape ({self.batch},), was expected. Select it from "
            "the model's output, as in lambda output: output.last_hidden_state[:, -1, 0]."
        )

    def is_live(self, x: Tensor) -> bool:
        """Whether a tensor depends on a source that has entered; only valid while the model runs."""
        return self.mode.unseen(lambda: self.direction.is_live(x))

    def admit(self, label: str, vectors: Tensor, channel: int) -> Tensor:
        """Make ``vectors``, whose components lie along axis ``channel``, the sources of a group."""
        vectors = self.mode.unseen(vectors.detach)  # they may depend on earlier sources
        moved = vectors.movedim(channel, -1)
        moved = moved.transpose(0, 1) if self.sequence_first else moved
        if moved.shape[0] % self.batch and self.batch > 1:
            raise UnsupportedArchitecture(
                f"The sources that enter in {self.where()} have shape {tuple(vectors.shape)}, which can't be split "
                f"into a batch of {self.batch}. Pass one text or image at a time."
            )
        positions = moved.reshape(self.batch, -1, moved.shape[-1])
        live = self.mode.admit(lambda: self.direction.source(label, positions))
        live = live.reshape(moved.shape)
        return (live.transpose(0, 1) if self.sequence_first else live).movedim(-1, channel)


@contextmanager
def frozen_run(
    model: PreTrainedModel,
    direction: Direction,
    *,
    batch: int,
    product: Product = "half",
    sources: str | Site | tuple[()] | None = None,
    unfrozen: Callable[[], Any] | None = None,
) -> Iterator[FrozenRun]:
    """Prepare ``model`` to run frozen; everything is restored afterwards.

    Parameters
    ----------
    model
        Any transformers model, in evaluation mode.
    direction
        The direction of differentiation.
    batch
        Number of rows of the inputs.
    product
        How the derivative of a product of live factors is split.
    sources
        Where sources enter: None for the embeddings, or a site (a path stands for the module's output), or () for none.
    unfrozen
        Runs the unfrozen computation, and returns its output: on first use, it tells whether eager code gives the output
        of the model as configured. None if that was checked already.

    Raises
    ------
    InvalidInput
        If an option is unknown, the model is in training mode or can't read the inputs, or torch is in inference mode, where
        no derivative can be computed.
    UnsupportedArchitecture
        If a module is compiled.
    """
    _refuse(model, product)
    if unfrozen is not None:
        compare_with_eager(model, unfrozen)
    run = FrozenRun(model, direction, product, batch)
    with kept_functions_explained(model), _failures_explained(run), ExitStack() as stack:
        stack.enter_context(plain_settings(model))
        stack.enter_context(constant_parameters(model))
        stack.enter_context(hidden_activations_shown(run.paths))
        stack.enter_context(_sources(run, sources))
        yield run


def require_trained_read(
    model: PreTrainedModel, inputs: Mapping[str, Any], what: str | Site | Callable[[Any], Tensor]
) -> None:
    """Refuse a result that depends on weights missing from the checkpoint; ``what`` is as in :meth:`FrozenRun.read`.

    Raises
    ------
    InvalidInput
        Naming the weights.
    """

    def read() -> list[Tensor]:
        with plain_settings(model):
            if callable(what):
                return [what(model(**inputs))]
            site, seen = as_site(what), list[Tensor]()
            with hooked(submodule(model, site.path), site.side, lambda x, channel: seen.append(x)):
                model(**inputs)
            return seen[-1:]

    require_trained(model, read)


def unfrozen(model: PreTrainedModel, inputs: Mapping[str, Any]) -> Callable[[], Any]:
    """A plain run of a model on inputs, which returns its output without padded positions."""
    return lambda: real_positions(model(**inputs), inputs.get("attention_mask"))


def refuse_inference_mode(model: PreTrainedModel) -> None:
    """Refuse inference mode, where torch can't compute derivatives.

    Raises
    ------
    InvalidInput
        In ``torch.inference_mode()``, or if the model was created in it.
    """
    if torch.is_inference_mode_enabled():
        raise InvalidInput(
            "torch.inference_mode() is on, where no derivative can be computed. Use torch.no_grad() instead."
        )
    if any(x.is_inference() for x in model.parameters()):
        raise InvalidInput(
            f"{type(model).__name__} was created in torch.inference_mode(), so its derivatives can never be computed. Load "
            "or build it outside."
        )


def _refuse(model: object, product: object) -> None:
    if not isinstance(model, PreTrainedModel):
        raise InvalidInput(
            f"The model is a {type(model).__name__}; expected a transformers model. For a Lens, pass lens.model."
        )
    if product not in get_args(Product):
        raise InvalidInput(f"product is {product!r}; expected one of {', '.join(map(repr, get_args(Product)))}.")
    refuse_inference_mode(model)
    if switches_attention(model) is not None:
        raise UnsupportedArchitecture(
            f"{type(model).__name__} switches between sparse and full attention by text length, which can't be held fixed. "
            "To explain its full attention, call model.set_attention_type('original_full') first."
        )
    for path, module in model.named_modules():
        if isinstance(module, torch._dynamo.OptimizedModule) or module._compiled_call_impl is not None:
            raise UnsupportedArchitecture(
                f"Module {path!r} is compiled, so its operations can't be seen. Load the model without torch.compile."
            )
        if isinstance(module, PreTrainedModel) and module.training:
            raise InvalidInput(
                f"{f'Module {path!r}' if path else 'The model'} ({type(module).__name__}) is in training mode, where "
                "dropout draws random numbers; evaluation mode was expected. Call model.eval() first."
            )


@contextmanager
def _failures_explained(run: FrozenRun) -> Iterator[None]:
    """Turn an error into one about the inputs if the unmodified model can't read them either; others pass unchanged."""
    try:
        yield
    except NormLensError:
        raise
    except Exception as error:
        if run.inputs is not None and not is_out_of_memory(error):
            _require_readable(run.model, run.inputs)
        raise


def _require_readable(model: PreTrainedModel, inputs: Mapping[str, Any]) -> None:
    """Run the unmodified model on the inputs, and explain a failure."""
    with explained_failure(model, inputs), torch.no_grad(), plain_settings(model):
        model(**inputs)


@contextmanager
def _sources(run: FrozenRun, sources: str | Site | tuple[()] | None) -> Iterator[None]:
    """Let sources enter at their modules, except in calls with an argument that is already live."""

    def enter(x: Tensor, channel: int = -1) -> Tensor:
        return run.admit(_label(run), x, channel)

    change: Callable[[Tensor, int], Tensor | None] = enter
    if sources is None:
        entries: list[tuple[nn.Module, Side]] = [(module, "output") for module in source_modules(run.model)]
    elif sources == ():
        entries = []
    else:
        site, calls = as_site(sources), itertools.count()
        entries = [(submodule(run.model, site.path), site.side)]

        def change(x: Tensor, channel: int) -> Tensor | None:
            return enter(x, channel) if next(calls) >= site.occurrence else None

    with ExitStack() as stack:
        for module, side in entries:
            stack.enter_context(hooked(module, side, change, skip=run.is_live))
        if sources is None:
            stack.enter_context(hooked_inputs_embeds(run.model, enter))
        yield


def _label(run: FrozenRun) -> str:
    """The path of the innermost running model, numbered if other groups have entered it already."""
    label = next((path for path, module in run.running() if names_sources(path, module)), "")
    before = sum(group.label.partition("#")[0] == label for group in run.direction.groups)
    return f"{label}#{before + 1}" if before else label
