"""Which modules ``layers=`` means: by the number of their layer, or by a pattern of their path."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from normlens.engine.tracing.layer_numbers import layer_number
from normlens.errors import InvalidInput


def chosen_paths(paths: list[str], layers: Iterable[int | str] | None) -> list[str]:
    """The paths that ``layers`` mean, in their order.

    Parameters
    ----------
    paths
        Of all modules that could be meant.
    layers
        Numbers (the first number in a path is its layer's) and patterns such as ``"*.encoder_attn"``; None: all.

    Raises
    ------
    InvalidInput
        If one of them means no path.
    """
    if layers is None:
        return paths
    chosen: set[str] = set()
    wanted = [layers] if isinstance(layers, (int, str)) else list(layers)
    if not wanted:
        raise InvalidInput("layers is empty, so nothing would change; expected numbers or patterns, or None for all.")
    for layer in wanted:
        here = {path for path in paths if _meant(path, layer)}
        if not here:
            numbers = sorted({number for path in paths if (number := layer_number(path)) is not None})
            raise InvalidInput(
                f"There is nothing of this kind in layer {layer!r}. The layers are {', '.join(map(str, numbers))}; the "
                f"first of {len(paths)} modules is {paths[0]}."
            )
        chosen |= here
    return [path for path in paths if path in chosen]


def _meant(path: str, layer: int | str) -> bool:
    if isinstance(layer, str):
        return fnmatch.fnmatchcase(path, layer)
    return not isinstance(layer, bool) and layer_number(path) == layer
