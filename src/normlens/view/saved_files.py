"""Files of what the explorer shows: a map as CSV, the analysis as netCDF, the page with its data inside."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from normlens.errors import InvalidInput
from normlens.figures.explorer_page.binary_message import Message, PackedArray
from normlens.figures.explorer_page.embedded_page import MOST_NUMBERS, bounded, embedded_page, map_name
from normlens.figures.explorer_page.map_measures import HEAD_MEASURES, SUM_MEASURES, checked_measure
from normlens.view.exploration import Exploration

FORMATS = ("csv", "nc", "html")
_Place = tuple[str, int, int | None, str]
"""Group, layer, head (None: all together) and measure of a map."""


def saved_file(
    exploration: Exploration, kind: str, group: str, layer: int, head: int | None, measure: str | None
) -> Message:
    """A file as the array ``file`` of bytes, with its name.

    Parameters
    ----------
    exploration
        The run.
    kind
        One of `FORMATS`.
    group, layer, head, measure
        The map of a CSV file; a page holds its layer first.

    Raises
    ------
    InvalidInput
        If there is no such format or map, or a netCDF file would be too large.
    """
    if kind not in FORMATS:
        raise InvalidInput(f"There is no format {kind!r}; expected one of {', '.join(FORMATS)}.")
    measure = checked_measure(measure, head)
    maps = exploration.measured(group, layer, head, measure)
    if kind == "csv":
        content = _table(exploration, group, maps, is_head=head is not None).to_csv(index=False).encode()
        name = f"layer{layer}_{'all_heads' if head is None else f'head{head}'}_{measure}.csv"
    elif kind == "nc":
        content, name = _netcdf(exploration), "analysis.nc"
    else:
        content, name = _page(exploration, (group, layer, head, measure)).encode(), "explorer.html"
    return Message({"name": name}, {"file": PackedArray(np.frombuffer(content, dtype=np.uint8))})


def _table(exploration: Exploration, group: str, maps: dict[str, Any], *, is_head: bool) -> pd.DataFrame:
    """A row for each target and source, with all digits."""
    facts = next(one for one in exploration.overview().facts["groups"] if one["name"] == group)
    targets, sources = maps["weight"].shape
    columns: dict[str, Any] = {
        "target": np.repeat(np.arange(targets), sources),
        "source": np.tile(np.arange(sources), targets),
        "target_token": np.repeat([one["text"] for one in facts["targets"]], sources),
        "source_token": np.tile([one["text"] for one in facts["sources"]], targets),
    }
    if is_head:
        lengths = np.broadcast_to(maps["vector_norm"], (targets, sources))
        maps = {**maps, "vector_norm": lengths, "weighted_norm": maps["weight"] * lengths}
    return pd.DataFrame({**columns, **{name.replace("/", "_"): x.ravel() for name, x in maps.items() if x.ndim == 2}})


def _netcdf(exploration: Exploration) -> bytes:
    """What `Analysis.save` writes of this text."""
    groups = exploration.overview().facts["groups"]
    numbers = sum(sum(one["heads"]) * len(one["targets"]) * len(one["sources"]) for one in groups)
    if numbers > MOST_NUMBERS:
        raise InvalidInput(
            f"The analysis has {numbers:,} weights; the explorer saves {MOST_NUMBERS:,} at most. Save a map as CSV, shorten "
            "the text, or write the whole with `normlens analyze … -o analysis.nc`."
        )
    example = exploration.example
    target = None if example.target is None else example.target.text
    analysis = exploration.model.lens.analyze(example.text, target)
    with tempfile.TemporaryDirectory() as folder:
        return Path(analysis.save(Path(folder) / "analysis.nc")).read_bytes()


def _page(exploration: Exploration, shown: _Place) -> str:
    """The page with every map inside, or with the one that is shown, those of its layer, and as many others as fit.

    Splits of what the model says and alignments of words are inside if they were looked at.
    """
    overview = exploration.overview()
    messages, is_whole = bounded(_maps(exploration, shown))
    facts = {**overview.facts, "run": "file", "seconds": None, "isWhole": is_whole}
    messages = {"overview": Message(facts, overview.arrays), **exploration.looked_at, **messages}
    return embedded_page(messages, str(facts["text"])[:100])


def _maps(exploration: Exploration, shown: _Place) -> Iterator[tuple[str, Message]]:
    """All maps by name: the shown one, its layer, the other layers, and last the measures that the run doesn't need."""
    first = map_name(*shown)
    yield first, exploration.map(*shown)
    groups = exploration.overview().facts["groups"]
    layers = [
        (one["name"], number, heads)
        for one in groups
        for number, heads in zip(one["layers"], one["heads"], strict=True)
    ]
    layers.sort(key=lambda one: one[:2] != shown[:2])
    of_sums, of_heads = ([one.name for one in measures] for measures in (SUM_MEASURES, HEAD_MEASURES[1:]))
    for index in range(max(len(of_sums), len(of_heads))):
        for name, number, heads in layers:
            wanted: list[tuple[int | None, str]] = [(None, measure) for measure in of_sums[index : index + 1]]
            wanted += [(head, measure) for measure in of_heads[index : index + 1] for head in range(heads)]
            for head, measure in wanted:
                if map_name(name, number, head, measure) != first:
                    yield map_name(name, number, head, measure), exploration.map(name, number, head, measure)
