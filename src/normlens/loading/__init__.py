"""Models and tokenizers from the Hub, a folder, a GGUF file, a package or memory."""

from typing import TYPE_CHECKING

from normlens.lazily import attribute_of
from normlens.loading.sentences import sentences  # at once, since the module has the same name

if TYPE_CHECKING:
    from normlens.loading.catalog import BUNDLED, NAMED, AvailableModel, available_models
    from normlens.loading.load import LoadedModel, load_model
    from normlens.loading.model_classes import TASKS

__all__ = ["BUNDLED", "NAMED", "TASKS", "AvailableModel", "LoadedModel", "available_models", "load_model", "sentences"]
_HOMES = {
    "BUNDLED": "normlens.loading.catalog",
    "NAMED": "normlens.loading.catalog",
    "AvailableModel": "normlens.loading.catalog",
    "available_models": "normlens.loading.catalog",
    "TASKS": "normlens.loading.model_classes",
    "LoadedModel": "normlens.loading.load",
    "load_model": "normlens.loading.load",
}
__getattr__ = attribute_of(__name__, _HOMES)
