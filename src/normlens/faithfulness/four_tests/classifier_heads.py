"""Heads of Hugging Face classifiers: whether one is trained, whether it fits the texts, and models with a new one."""

from __future__ import annotations

import copy
from collections.abc import Sequence

from transformers import PreTrainedModel

from normlens.errors import InvalidInput
from normlens.loading.untrained import untrained


def with_classes(model: PreTrainedModel, classes: Sequence[str]) -> tuple[PreTrainedModel, list[str]]:
    """A classifier with a head for these classes, and those of its modules that no checkpoint holds.

    Parameters
    ----------
    model
        As loaded.
    classes
        Names of the classes, in the order of their numbers.

    Raises
    ------
    InvalidInput
        If the checkpoint has a trained head with other classes.
    """
    fresh = sorted({name.rpartition(".")[0] for name in untrained(model)})
    names = [str(model.config.id2label[k]) for k in range(model.config.num_labels)]
    if not fresh and len(names) != len(classes):
        raise InvalidInput(
            f"The head of {model.name_or_path or type(model).__name__} has {len(names)} classes ({', '.join(names)}); the "
            f"texts have {len(classes)} ({', '.join(classes)}). Take a checkpoint without a head, or texts with its labels."
        )
    if not fresh and _has_names(names) and [name.lower() for name in names] != [name.lower() for name in classes]:
        raise InvalidInput(
            f"The head has the classes {', '.join(names)}, the texts {', '.join(classes)}; expected the same in the same "
            "order. Set classes in [data]."
        )
    config = copy.deepcopy(model.config)
    config.num_labels = len(classes)
    config.id2label, config.label2id = dict(enumerate(classes)), {name: k for k, name in enumerate(classes)}
    template = type(model)(config)
    state = {
        name: value
        for name, value in model.state_dict().items()
        if name in template.state_dict() and template.state_dict()[name].shape == value.shape
    }
    template.load_state_dict(state, strict=False)
    other = {name.rpartition(".")[0] for name in template.state_dict() if name not in state}
    return template.eval(), sorted({*fresh, *other})


def require_trained(model: PreTrainedModel, ordered: bool) -> None:
    """Refuse a model that can't be tested as it is.

    Parameters
    ----------
    model
        As loaded.
    ordered
        Whether the data names the classes in the order of the head's numbers.

    Raises
    ------
    InvalidInput
        If its head is not trained, or its classes have no names and the data doesn't say which is which.
    """
    name = model.name_or_path or type(model).__name__
    missing = sorted(untrained(model))
    if missing:
        raise InvalidInput(
            f"The head of {name} is not trained ({missing[0]} is in no checkpoint), so there is no classifier to test as it "
            "is. Name a fine-tuned classifier, or leave out trained = true: then it is fine-tuned here."
        )
    names = [str(model.config.id2label[k]) for k in range(model.config.num_labels)]
    if not ordered and not _has_names(names):
        raise InvalidInput(
            f"The classes of {name} have no names ({', '.join(names)}), so it isn't clear which label is which. "
            "Set classes in [data] to the labels in the order of the head's numbers."
        )


def head_modules(model: PreTrainedModel) -> list[str]:
    """The modules of the classification head: those with parameters outside the body.

    Raises
    ------
    InvalidInput
        If there are none.
    """
    body = f"{model.base_model_prefix}."
    paths = sorted({name.rpartition(".")[0] for name, _ in model.named_parameters() if not name.startswith(body)})
    if not paths:
        raise InvalidInput(
            f"{type(model).__name__} has no head beside its body, so no model with a new head can be made. Name its start "
            "in [classifier]."
        )
    return paths


def _has_names(names: Sequence[str]) -> bool:
    """Whether the classes have other names than those that transformers makes up."""
    return not all(name == f"LABEL_{k}" for k, name in enumerate(names))
