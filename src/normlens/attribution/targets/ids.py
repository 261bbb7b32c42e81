"""Class and token ids in tensors and arrays without dimensions, as ``argmax`` returns them, read as Python integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from normlens.attribution.targets.scalars import LogProbability
from normlens.errors import InvalidInput


def plain_target(target: Any) -> Any:
    """A target in which every id is a Python integer; everything else in it is unchanged.

    Parameters
    ----------
    target
        As :meth:`normlens.Lens.attribute` takes it.

    Raises
    ------
    InvalidInput
        If it holds a tensor or an array that is not one integer.
    """
    if isinstance(target, (list, tuple)):
        return (list if isinstance(target, list) else tuple)(map(plain_target, target))
    if isinstance(target, LogProbability):
        return replace(target, of=plain_target(target.of))
    return plain_id(target, "target")


def plain_id(value: Any, name: str) -> Any:
    """A Python integer for a NumPy integer, or for a tensor or an array that holds one; anything else is unchanged.

    Parameters
    ----------
    value
        What the caller passed.
    name
        The argument's name, for the message.

    Raises
    ------
    InvalidInput
        If it is a tensor or an array of another type, or with dimensions.
    """
    if not isinstance(value, (Tensor, np.ndarray, np.integer)):
        return value
    kind = "a tensor" if isinstance(value, Tensor) else "an array"
    if value.ndim:
        raise InvalidInput(
            f"{name} is {kind} of shape {tuple(value.shape)}; expected one integer. Pick one entry, such as {name}[0]; to "
            f"give each text its own, pass {name}.tolist()."
        )
    number = value.item()
    if type(number) is not int:
        raise InvalidInput(f"{name} is {kind} of {value.dtype}; expected an integer, such as logits.argmax() returns.")
    return number
