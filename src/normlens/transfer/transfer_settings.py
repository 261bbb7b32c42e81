"""The settings of transfer: which roles start anew, and which are trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from normlens.errors import InvalidInput, did_you_mean
from normlens.transfer.parameter_roles import ROLES, ParameterGroups, Role

_XATTN: tuple[Role, ...] = ("cross-attention",)
_SELF: tuple[Role, ...] = ("decoder self-attention",)
_BODY: tuple[Role, ...] = ("cross-attention", "decoder self-attention", "rest of the body")
_ALL: tuple[Role, ...] = tuple(role for role in ROLES if role not in ("unused", "low-rank updates"))
_RANK = 8
_EMBEDDINGS: tuple[Role, ...] = ("source embeddings", "target embeddings", "shared embeddings")


@dataclass(frozen=True)
class TransferSetting:
    """What becomes of the parent's parameters in the child.

    Attributes
    ----------
    name
        As in :data:`SETTINGS`.
    trained
        Roles that are trained; all others stay those of the parent, bit for bit.
    initialized
        Roles that start from random numbers, not from the parent's.
    side
        The embeddings of a new language; None if the child's languages are the parent's.
    norms
        Whether the norms of every role are trained, too.
    rank
        Rank of updates of the cross-attention's matrices, which are trained in their place; None without them.
    source
        Where the setting comes from: "Gheini et al. 2021", or "ours".
    """

    name: str
    trained: tuple[Role, ...]
    initialized: tuple[Role, ...] = ()
    side: Role | None = None
    norms: bool = False
    rank: int | None = None
    source: str = "Gheini et al. 2021"

    def trained_names(self, groups: ParameterGroups) -> tuple[str, ...]:
        """Names of the parameters that are trained."""
        chosen = set(groups.of(self.trained)) | (set(groups.norms) if self.norms else set())
        return tuple(name for role in ROLES for name in groups.names[role] if name in chosen)


def _of_a_side(name: str, embeddings: Role) -> list[TransferSetting]:
    """The settings with a new language on one side."""
    own = (embeddings,)
    return [
        TransferSetting(name, own, own, embeddings),
        TransferSetting(f"{name}+xattn", (*own, *_XATTN), own, embeddings),
        TransferSetting(f"{name}+body", (*own, *_BODY), own, embeddings),
        TransferSetting(f"{name}+randxattn", (*own, *_XATTN), (*own, *_XATTN), embeddings),
        TransferSetting(f"{name}+selfattn", (*own, *_SELF), own, embeddings, source="ours"),
        TransferSetting(f"{name}+lora", (*own, "low-rank updates"), own, embeddings, rank=_RANK, source="ours"),
        TransferSetting(f"{name}+norms", own, own, embeddings, norms=True, source="ours"),
    ]


SETTINGS: Mapping[str, TransferSetting] = {
    setting.name: setting
    for setting in (
        TransferSetting("scratch", _ALL, _ALL, "source embeddings"),
        TransferSetting("tgt+scratch", _ALL, _ALL, "target embeddings"),
        *_of_a_side("src", "source embeddings"),
        *_of_a_side("tgt", "target embeddings"),
        TransferSetting("embed", _EMBEDDINGS),
        TransferSetting("embed+xattn", (*_EMBEDDINGS, *_XATTN)),
        TransferSetting("embed+randxattn", (*_EMBEDDINGS, *_XATTN), _XATTN),
        TransferSetting("whole", _ALL),
    )
}
"""All settings by name.

"src" and "tgt" put a new language on one side, whose embeddings start anew, and "scratch" a new source language; "embed" and
"whole" train a multilingual parent on a pair that its vocabulary covers. "+selfattn" trains as many parameters as "+xattn",
the control for *which* attention.
"""


def setting_named(name: str) -> TransferSetting:
    """A setting by its name.

    Raises
    ------
    InvalidInput
        If there is none of this name.
    """
    if name not in SETTINGS:
        raise InvalidInput(
            f"There is no setting {name!r}; expected one of {', '.join(SETTINGS)}.{did_you_mean(name, SETTINGS)}"
        )
    return SETTINGS[name]
