"""A child: a translation model that begins as its parent, with some parameters trained and all others kept bit for bit."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from normlens.errors import InvalidInput, NormLensError
from normlens.lens import Lens
from normlens.loading.load import LoadedModel
from normlens.transfer.low_rank import with_low_rank
from normlens.transfer.parameter_roles import ParameterGroups, parameter_groups, with_updates
from normlens.transfer.separate_embeddings import separate_embeddings
from normlens.transfer.transfer_settings import TransferSetting, setting_named


class FrozenChanged(NormLensError):
    """A parameter that is frozen isn't the parent's any more."""


@dataclass(frozen=True)
class Child:
    """A model to be trained, by any trainer; made by :func:`start_child`.

    Attributes
    ----------
    model
        The model, of which only the trained parameters require a gradient.
    setting
        What is trained.
    trained, frozen
        Names of its parameters. Those of a tensor that several modules share are named once.
    groups
        Its parameters by role.
    parent
        The parent's SHA-256.
    vocabulary
        Rows of the new embeddings; None if they have as many as the parent's.
    seed
        Of the random numbers that parameters start from.
    """

    model: PreTrainedModel
    setting: TransferSetting
    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    groups: ParameterGroups
    parent: str
    vocabulary: int | None
    seed: int
    _kept: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        """What is trained and what is frozen, with counts."""
        sizes = {name: parameter.numel() for name, parameter in self.model.named_parameters()}
        trained, total = sum(sizes[name] for name in self.trained), sum(sizes.values())
        lines = [
            f"{self.setting.name} ({self.setting.source}): {trained:,} of {total:,} parameters are trained "
            f"({trained / total:.1%})"
        ]
        for role, own in self.groups.names.items():
            for state, names in (("trained", self.trained), ("frozen", self.frozen)):
                if count := sum(sizes[name] for name in own if name in names):
                    lines.append(f"  {role}: {count:,} {state}")
        return "\n".join(lines)

    def require_frozen(self) -> None:
        """Check that every frozen parameter is the parent's, bit for bit.

        Raises
        ------
        FrozenChanged
            Naming those that aren't.
        """
        now = dict(self.model.named_parameters())
        changed = [name for name in self.frozen if name not in now or tensor_hash(now[name]) != self._kept[name]]
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise FrozenChanged(
                f"{', '.join(changed[:3])}{more} should be frozen, but changed in training. Train only parameters that "
                "require a gradient: leave requires_grad as it is, and build the optimizer from those."
            )


def start_child(lens: Lens, setting: str, *, vocabulary: int | None = None, seed: int = 0) -> Child:
    """Begin a child of a translation model; the parent isn't changed.

    Parameters
    ----------
    lens
        A lens on the parent: an encoder–decoder.
    setting
        A name of :data:`normlens.transfer.SETTINGS`, such as "src+xattn".
    vocabulary
        Number of tokens of the new language, for settings that have one ("scratch", "src" and "tgt"). Default: as many as
        the parent's.
    seed
        Random seed of parameters that start anew.

    Returns
    -------
    Child

    Raises
    ------
    InvalidInput
        If there is no such setting, or it has no new language for a vocabulary.
    UnsupportedArchitecture
        If the parent has no cross-attention.
    """
    chosen = setting_named(setting)
    if vocabulary is not None and (chosen.side is None or vocabulary < 1):
        raise InvalidInput(
            f"vocabulary is {vocabulary} with the setting {chosen.name!r}; expected a positive number, with a setting that "
            "has a new language: scratch, or one that begins with src or tgt."
        )
    model, groups = child_model(lens, chosen, vocabulary, seed)
    fresh = _fresh(model, seed)
    constant = {name for name, parameter in fresh.items() if not parameter.requires_grad}
    _initialize(model, [name for name in groups.of(chosen.initialized) if name not in constant], fresh, seed)
    trained = tuple(name for name in chosen.trained_names(groups) if name not in constant)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trained)
    frozen = tuple(name for name, _ in model.named_parameters() if name not in trained)
    kept = {name: tensor_hash(parameter) for name, parameter in model.named_parameters() if name in frozen}
    return Child(model, chosen, trained, frozen, groups, model_hash(lens.model), vocabulary, seed, kept)


def child_model(
    lens: Lens, setting: TransferSetting, vocabulary: int | None, seed: int = 0
) -> tuple[PreTrainedModel, ParameterGroups]:
    """A copy of the parent with embeddings of its own on the side of the new language, and its parameters by role.

    Raises
    ------
    UnsupportedArchitecture
        If it isn't an encoder–decoder with cross-attention.
    """
    parameter_groups(lens)  # refuses what isn't a translation model
    model = copy.deepcopy(lens.model)
    if setting.side is not None:
        model = separate_embeddings(model, setting.side, vocabulary)
    groups = groups_of(model, lens.name)
    if setting.rank is None:
        return model, groups
    with_low_rank(model, groups.names["cross-attention"], setting.rank, seed)
    return model, with_updates(groups, model)


def groups_of(model: PreTrainedModel, name: str = "child") -> ParameterGroups:
    """The parameters of a model by role."""
    return parameter_groups(Lens(LoadedModel(model, None, None, name, None)))


def _fresh(model: PreTrainedModel, seed: int) -> dict[str, nn.Parameter]:
    """The parameters of a new model of the same kind, by every name."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        fresh = type(model)(copy.deepcopy(model.config))
    return dict(fresh.named_parameters(remove_duplicate=False))


def _initialize(model: PreTrainedModel, names: Iterable[str], fresh: Mapping[str, nn.Parameter], seed: int) -> None:
    """Let parameters start anew; a table of another size is drawn with the standard deviation of the new model's."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            own, new = parameters[name], fresh[name]
            if own.shape == new.shape:
                own.copy_(new)
                continue
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randn(own.shape, generator=generator) * new.float().std()
            own.copy_(drawn)
            padding = getattr(model.get_submodule(name.rpartition(".")[0]), "padding_idx", None)
            if padding is not None:
                own[padding] = 0


def model_hash(model: nn.Module) -> str:
    """SHA-256 of a model's parameters: names, shapes, dtypes and every bit."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters(remove_duplicate=False)):
        digest.update(f"{name} {tensor_hash(parameter)}\n".encode())
    return digest.hexdigest()


def tensor_hash(tensor: Tensor) -> str:
    """SHA-256 of a tensor: shape, dtype and every bit."""
    x = tensor.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{tuple(x.shape)} {x.dtype}".encode())
    digest.update(x.view(-1).view(torch.uint8).numpy().tobytes() if x.numel() else b"")
    return digest.hexdigest()
