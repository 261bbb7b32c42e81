"""Transfer: a translation model adapted to a new language by its embeddings and its cross-attention alone.

`start_child` begins a child of a parent and says what is trained; any trainer trains it. `save_delta` keeps the tensors that
moved, and `load_child` puts them onto the parent again.

References
----------
Gheini, Ren & May 2021, "Cross-Attention is All You Need: Adapting Pretrained Transformers for Machine Translation".
"""

from normlens.transfer.child_model import Child, FrozenChanged, start_child
from normlens.transfer.delta import Delta, load_child, read_delta, save_delta
from normlens.transfer.parameter_roles import ROLES, ParameterGroups, Role, parameter_groups
from normlens.transfer.transfer_settings import SETTINGS, TransferSetting

__all__ = [
    "ROLES",
    "SETTINGS",
    "Child",
    "Delta",
    "FrozenChanged",
    "ParameterGroups",
    "Role",
    "TransferSetting",
    "load_child",
    "parameter_groups",
    "read_delta",
    "save_delta",
    "start_child",
]
