"""Transfer: a translation model adapted to a new language by its embeddings and its cross-attention alone.

`train` trains a child on a parallel text and keeps its delta: the tensors that moved. `child_translator` translates with it,
and `merge` writes a complete model. For a trainer of your own, `start_child` begins a child, `save_delta` keeps it, and
`load_child` puts it onto the parent again.

References
----------
Gheini, Ren & May 2021, "Cross-Attention is All You Need: Adapting Pretrained Transformers for Machine Translation".
"""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of
from normlens.transfer.aligned_embeddings import DictionaryPrecision, dictionary_precision
from normlens.transfer.child_model import Child, FrozenChanged, start_child
from normlens.transfer.delta import Delta, load_child, read_delta, save_delta
from normlens.transfer.parameter_roles import ROLES, ParameterGroups, Role, parameter_groups
from normlens.transfer.transfer_recipe import TransferRecipe
from normlens.transfer.transfer_settings import SETTINGS, TransferSetting

if TYPE_CHECKING:
    from normlens.transfer.child_training import train
    from normlens.transfer.complete_child import merge
    from normlens.transfer.translators import child_translator, parent_translator

__all__ = [
    "ROLES",
    "SETTINGS",
    "Child",
    "Delta",
    "DictionaryPrecision",
    "FrozenChanged",
    "ParameterGroups",
    "Role",
    "TransferRecipe",
    "TransferSetting",
    "child_translator",
    "dictionary_precision",
    "load_child",
    "merge",
    "parameter_groups",
    "parent_translator",
    "read_delta",
    "save_delta",
    "start_child",
    "train",
]
_HOMES = {
    "train": "normlens.transfer.child_training",
    "merge": "normlens.transfer.complete_child",
    "child_translator": "normlens.transfer.translators",
    "parent_translator": "normlens.transfer.translators",
}
__getattr__ = attribute_of(__name__, _HOMES)
