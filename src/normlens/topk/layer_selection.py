"""Select modules by ``layers=``: layer numbers, or patterns of module paths."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable

from normlens.engine.tracing.layer_numbers import layer_number
from normlens.errors import InvalidInput


def chosen_paths(paths: list[str], layers: Iterable[int | str] | None) -> list[str]:
    """The paths that ``layers`` select, in their order.

    Parameters
    ----------
    paths
        The paths of all candidate modules.
    layers
        Layer numbers (the first number in a path) and patterns such as ``"*.encoder_attn"``; None: all.

    Raises
    ------
    InvalidInput
        If one of them matches no path.
    """
    if layers is None:
        return paths
    chosen: set[str] = set()
    wanted = [layers] if isinstance(layers, (int, str)) else list(layers)
    if not wanted:
        raise InvalidInput(
            "layers is empty, so nothing would change; expected layer numbers or patterns, or None for all."
        )
    for layer in wanted:
        matching = {path for path in paths if _matches(path, layer)}
        if not matching:
            numbers = sorted({number for path in paths if (number := layer_number(path)) is not None})
            raise InvalidInput(
                f"layers={layer!r} matches no module. The layers are {', '.join(map(str, numbers))}; the first of "
                f"{len(paths)} modules is {paths[0]}."
            )
        chosen |= matching
    return [path for path in paths if path in chosen]


def _matches(path: str, layer: int | str) -> bool:
    if isinstance(layer, str):
        return fnmatch.fnmatchcase(path, layer)
    return not isinstance(layer, bool) and layer_number(path) == layer
