"""A second device without a second device: tensors that live "elsewhere", compute on the CPU and may not meet the CPU's.

``python tests/separate_device.py`` asks the same of models there and of their copies on the CPU, and prints how far the
results are apart. It catches what tests on the CPU can't: a mask, an index or a number made on the wrong device.
With ``--without-float64`` there is none elsewhere, as on Apple's GPUs, and fewer model types are asked. It says nothing
about an accelerator's arithmetic, and forward-mode derivatives (pushing) can't be taken of such tensors. It registers
a backend for the whole process, so tests run it in a process of its own.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import transformers
from architectures import tiny
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _DummyBackendModule, _setup_privateuseone_for_python_backend

import normlens
from normlens import Lens, topk
from normlens.alignment import Extractor, Reading
from normlens.attribution import VectorNorm
from normlens.engine.frozen import pull_back

NAME = "elsewhere"
DEVICE = f"{NAME}:0"
TEXTS = ["The keys to the cabinet are on the table.", "Two words", "A third one, with a comma and full stop."]
PAIRS = [("Das Haus ist gross .", "The house is large ."), ("Guten Tag", "Good day")]
MODEL_TYPES = ("bert", "gpt2", "llama", "marian", "gemma2", "deberta", "bloom", "mixtral", "t5", "falcon", "gpt_oss")
METHODS = ("rollout", "flow", "norm_rollout", "alti", "value_zeroing", "gradient_input", "integrated_gradients")

NARROW = "--without-float64" in sys.argv
TOO_WIDE = (torch.float64, torch.complex128)

Numbers = NDArray[np.float64]


class Elsewhere(Tensor):
    """A tensor whose numbers are held by a CPU tensor that nobody else sees."""

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> Elsewhere:
        tensor = Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
        )
        tensor.here = here
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})

    def __deepcopy__(self, memo: object) -> Elsewhere:
        return Elsewhere(self.here.clone())

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.here.untyped_storage()

    def tolist(self) -> Any:
        return self.here.tolist()

    def numpy(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError(f"A tensor on {NAME} can't be read by numpy; .cpu() was expected first.")

    __array__ = numpy


class Watching(TorchDispatchMode):
    """Lets tensors be made elsewhere."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


class _Backend(_DummyBackendModule):
    def get_rng_state(self, device: object = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: object = None) -> None:
        torch.set_rng_state(state)


def computed(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Do an operation on the CPU, and leave its result where it belongs.

    Raises
    ------
    RuntimeError
        If tensors of both devices meet, but for a single number and for indices from the CPU, as on an accelerator.
    """
    name = func._schema.name
    if name == "aten::copy_":
        _here(args[0]).copy_(_here(args[1]))
        return args[0]
    away = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Elsewhere)]
    if away and name != "aten::_to_copy":
        _require_one_device(name, args, kwargs)
    asked = kwargs.get("device")
    there = kwargs if asked is None else {**kwargs, "device": torch.device("cpu")}
    plain_args, plain_kwargs = tree_map(_here, (args, dict(there)))
    result = func(*plain_args, **plain_kwargs)
    if not (away if asked is None else torch.device(asked).type == NAME):
        return result
    if NARROW and any(isinstance(x, Tensor) and x.dtype in TOO_WIDE for x in tree_flatten(result)[0]):
        raise TypeError(f"{name}: {NAME} has no float64, as Apple's GPUs have none.")
    elsewhere = {id(x.here): x for x in away}
    return tree_map(
        lambda x: (elsewhere[id(x)] if id(x) in elsewhere else Elsewhere(x)) if isinstance(x, Tensor) else x, result
    )


def _require_one_device(name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    indexed = name in ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")
    checked = (args[0], *args[2:]) if indexed else args
    for x in tree_flatten((checked, kwargs))[0]:
        if isinstance(x, Tensor) and not isinstance(x, Elsewhere) and x.ndim:
            raise RuntimeError(f"{name} met tensors on {NAME} and a tensor {tuple(x.shape)} on the CPU.")


def _here(x: Any) -> Any:
    return x.here if isinstance(x, Elsewhere) else x


def _register() -> torch.library.Library:
    """Let torch know the device, and make empty tensors there where it does so by itself."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())
    library = torch.library.Library("aten", "IMPL")

    def strided(size: Any, stride: Any, *, dtype: Any = None, **rest: Any) -> Tensor:
        return Elsewhere(torch.empty_strided(size, stride, dtype=dtype))

    def empty(size: Any, *, dtype: Any = None, **rest: Any) -> Tensor:
        return Elsewhere(torch.empty(size, dtype=dtype))

    def copied(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
        _here(target).copy_(_here(source))
        return target

    library.impl("empty_strided", strided, "PrivateUse1")
    library.impl("empty.memory_format", empty, "PrivateUse1")
    library.impl("_copy_from", copied, "PrivateUse1")
    return library


def both(lens: Lens) -> tuple[Lens, Lens]:
    """A model here, and a copy of it elsewhere."""
    return lens, normlens.load((copy.deepcopy(lens.model).to(DEVICE), lens.tokenizer))


def apart(of: Callable[[Lens], Numbers], lenses: tuple[Lens, Lens]) -> float:
    """The largest difference, relative to the largest number."""
    one, other = (np.asarray(of(lens), dtype=np.float64) for lens in lenses)
    return float(np.nanmax(abs(one - other)) / np.nanmax(abs(one)))


def _require_strict() -> None:
    try:
        torch.ones(2).to(DEVICE) + torch.ones(2)
    except RuntimeError:
        return
    raise AssertionError("Tensors of two devices were added up.")


def _norms(lens: Lens, *arguments: Any, **options: Any) -> Numbers:
    variables = [
        x for group in lens.analyze(*arguments, **options).data.children.values() for x in group.data_vars.values()
    ]
    return np.concatenate([x.values.ravel() for x in variables])


def _shares(lens: Lens) -> Numbers:
    ids = {"input_ids": torch.arange(5, 17)[None].to(lens.model.device)}
    if lens.model.config.is_encoder_decoder:
        ids["decoder_input_ids"] = torch.arange(6, 13)[None].to(lens.model.device)
    return pull_back(lens.model, ids, lambda output: output.last_hidden_state[:, -1, 0]).shares.cpu().numpy()


def _top(lens: Lens, selection: Mapping[str, Any], renormalize: bool) -> Numbers:
    inputs = lens.tokenizer(TEXTS, padding=True, return_tensors="pt").to(lens.model.device)
    with topk.use(lens.model, 3, renormalize=renormalize, **selection), torch.no_grad():
        hidden: Tensor = lens.model(**inputs).last_hidden_state
    return hidden.cpu().numpy()


def _feedforward(lens: Lens, measure: str) -> Numbers:
    with topk.use_feedforward(lens.model, 8, measure), torch.no_grad():
        hidden: Tensor = lens.model(
            **lens.tokenizer(TEXTS[0], return_tensors="pt").to(lens.model.device)
        ).last_hidden_state
    return hidden.cpu().numpy()


def _aligned(lens: Lens) -> Numbers:
    extractor = Extractor(lens)
    pairs = [extractor.pair(source.split(), target.split()) for source, target in PAIRS]
    return np.concatenate([soft.values.ravel() for (soft,) in extractor.maps(pairs, [Reading(0)])])


def measured() -> dict[str, float]:
    """How far apart the two devices are, by what was asked of them."""
    _require_strict()
    distances = {}
    for model_type in MODEL_TYPES[:4] if NARROW else MODEL_TYPES:
        lenses = both(normlens.load((tiny.build(model_type), None)))
        target = list(range(6, 13)) if lenses[0].model.config.is_encoder_decoder else None
        distances[f"analyze {model_type}"] = apart(
            lambda lens, t=target: _norms(lens, list(range(5, 17)), target_text=t), lenses
        )
        distances[f"pull back {model_type}"] = apart(_shares, lenses)
    minilm = both(normlens.load("minilm-l6"))
    distances["a batch"] = apart(
        lambda lens: np.concatenate([x.data["encoder"]["norm"].values.ravel() for x in lens.analyze(TEXTS)]), minilm
    )
    for method in METHODS:
        options: dict[str, Any] = {"target": VectorNorm(), "position": 0} if "grad" in method else {}
        distances[method] = apart(
            lambda lens, m=method, o=options: lens.attribute(TEXTS[0], method=m, **o).values, minilm
        )
    averaged: dict[str, Any] = {"method": "decompx", "steps": 2, "target": VectorNorm(), "position": 0}
    distances["averaged"] = apart(lambda lens: lens.attribute(TEXTS[0], **averaged).values, minilm)
    for measure in ("weight", "norm"):
        distances[f"feed-forward {measure}"] = apart(lambda lens, m=measure: _feedforward(lens, m), minilm)
    for selection in ({"measure": "weight"}, {"measure": "norm"}, {"keep": "recent"}):
        for renormalize in (True, False):
            name = f"topk {' '.join(selection.values())} {renormalize}"
            distances[name] = apart(lambda lens, s=selection, r=renormalize: _top(lens, s, r), minilm)
    distances["alignment"] = apart(_aligned, both(normlens.load("de-en")))
    return distances


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    registered = _register()
    with Watching():
        json.dump(measured(), sys.stdout)
