"""The result of ``analyze``: labeled arrays that can be saved, tabulated, merged into words and drawn."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import pandas as pd
import xarray as xr

from normlens.analysis.group import Group, size_text, weighted_norms
from normlens.analysis.schema import HEAD_MAPS, LAYER_MAPS, check_analysis, maps_of
from normlens.analysis.stored import read_tree
from normlens.analysis.stored_json import plain
from normlens.engine.tracing.scopes import Scope
from normlens.errors import InvalidInput, NormLensError
from normlens.files.atomic import write_atomically
from normlens.words import text_of
from normlens.words.datasets import merged_dataset, numbered_by_whitespace
from normlens.words.three_lines import paragraph

if TYPE_CHECKING:
    from normlens.figures.framed import FramedPage
    from normlens.figures.panels import AxesLike, PanelAxes


class Analysis:
    """The analysis of one input.

    Parameters
    ----------
    data
        One group of arrays per kind of attention. Dimensions are layer, head, target, source and scope. Coordinates hold
        tokens, word numbers, categories and character offsets of every position, and each layer's module path and number in
        the model (3, 7 and 11 in a hybrid, say). Norms are Euclidean; absent heads and scopes are NaN.
    """

    def __init__(self, data: xr.DataTree) -> None:
        self.data = data

    @classmethod
    def of(cls, groups: Mapping[str, xr.Dataset], attributes: Mapping[str, Any]) -> Analysis:
        """An analysis of these groups, with these attributes."""
        tree = xr.DataTree.from_dict({f"/{name}": data for name, data in groups.items()})
        tree.attrs.update(attributes)
        return cls(tree)

    @property
    def groups(self) -> list[str]:
        """Names of the groups: "encoder", "decoder", "cross", or the model's towers."""
        return list(self.data.children)

    @property
    def attrs(self) -> dict[str, Any]:
        """Text, model, revision, dtype, versions, and ``vector_error``: the error of norms against vectors at inspection."""
        return {str(name): value for name, value in self.data.attrs.items()}

    @property
    def conservation_error(self) -> float:
        """The largest conservation error over scopes, layers and targets, relative to the norm of the output."""
        errors = [float(d["conservation_error"].max()) for d in self._datasets() if "conservation_error" in d]
        return max((e for e in errors if not math.isnan(e)), default=math.nan)

    def __getitem__(self, name: str) -> Group:
        if name not in self.data.children:
            raise KeyError(f"There is no group {name!r} in this analysis; it has {', '.join(self.groups)}.")
        return Group(self.data[name].to_dataset())

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __contains__(self, name: object) -> bool:
        return name in self.data.children

    def __len__(self) -> int:
        return len(self.data.children)

    def _ipython_key_completions_(self) -> list[str]:
        return self.groups

    def __repr__(self) -> str:
        return "\n".join(self._summary())

    def _repr_html_(self) -> str:
        from normlens.figures.framed import small_heat_maps

        tree: Any = self.data  # its HTML has no types
        shown = "cross" if "cross" in self.groups else self.groups[0]
        return f"{paragraph(self._summary())}{small_heat_maps(self[shown].data)}{tree._repr_html_()}"

    def _summary(self) -> tuple[str, str, str]:
        """Three lines: the text and the model, the groups, and methods to call next."""
        groups = [f"{name} ({size_text(self.data[name].to_dataset())})" for name in self.groups]
        return (
            f"<Analysis of {self.attrs.get('text', '')[:60]!r} by {self.attrs.get('model', '?')}>",
            f"Groups: {', '.join(groups)}",
            f'Next: analysis["{next(iter(self), "…")}"].norm, .plot(), .view(), .words(), .to_dataframe(), .save(path)',
        )

    def words(self, *, split_punctuation: bool = True) -> Analysis:
        """Merge sub-words into words: sums over a source word's pieces, averages over a target word's.

        This is the rule of Kobayashi et al. (2020, section 4). Special tokens are unchanged. ``weighted_norm`` is stored,
        because it is no longer a product; ``vector_norm`` and ratios are averaged over the pieces; of conservation errors,
        the largest is kept.

        Parameters
        ----------
        split_punctuation
            Whether punctuation marks, symbols and CJK ideographs are separate words. Otherwise only whitespace separates
            words, such as ``don't`` or ``(here),``.
        """
        self._refuse_reduced("analyze without reduce=")
        sides = ("target", "source")
        merged = {}
        for name in self.groups:
            maps_of(self[name].data, (*HEAD_MAPS, *LAYER_MAPS), "choose measures that have maps")
            texts = {side: text_of(self.attrs, name, side) for side in sides}
            group = self[name] if split_punctuation else Group(numbered_by_whitespace(self[name].data, texts))
            merged[name] = merged_dataset(group.data.assign(weighted_norms(group)), texts)
        return Analysis.of(merged, self.attrs)

    def compare(self, other: Analysis, *, group: str | None = None, layer: int | None = None) -> xr.Dataset:
        """Compare with an analysis of the same words: by another model, or of another text with as many words.

        Returns
        -------
        xarray.Dataset
            Shares of what each word takes, ``(target, source)``, without special tokens, averaged over layers (or of one)
            and heads: ``weight``, ``other_weight`` and ``weight_change``, the second less the first; ``norm`` likewise.
        """
        from normlens.analysis.compared_words import compared_words

        return compared_words(self, other, group, layer)

    def to_dataframe(self, level: str = "layer") -> pd.DataFrame:
        """A tidy table, one row per group, layer, target and source (and head).

        Parameters
        ----------
        level
            "layer": norms and contribution weights of the sum over heads, with the mean weight; "head": weight, vector norm,
            weighted norm, displacement and contribution weight. Measures that weren't taken are left out.

        Raises
        ------
        InvalidInput
            If the level is neither, or the analysis has no maps.
        """
        if level not in ("layer", "head"):
            raise InvalidInput(f"level={level!r}; expected 'layer' or 'head'.")
        self._refuse_reduced("read `.data` instead")
        frames = []
        for name in self.groups:
            group = self[name]
            of_level = HEAD_MAPS if level == "head" else LAYER_MAPS
            names = maps_of(group.data.assign(weighted_norms(group)), of_level, "read `.data` instead")
            if level == "head":
                lengths = ["vector_norm"] if "vector_norm" in group else []
                frame = xr.Dataset({name: group[name] for name in (*names[:1], *lengths, *names[1:])})
            else:
                means = {"weight_mean": group.weight.mean("head")} if "weight" in group else {}
                frame = group.data[names].assign(means)
            keep = ["target_token", "source_token", "target_category", "source_category"]
            frame = frame.drop_vars([c for c in frame.coords if c not in frame.dims and c not in keep])
            frames.append(frame.to_dataframe().reset_index().assign(group=name))
        table = pd.concat(frames, ignore_index=True)
        first = [
            "group",
            "layer",
            *(["head"] if level == "head" else []),
            "target",
            "source",
            "target_token",
            "source_token",
        ]
        return table[[*first, *(c for c in table.columns if c not in first)]]

    def save(self, path: str | Path) -> Path:
        """Write the whole analysis as netCDF; the file appears complete or not at all. An existing file is replaced.

        Raises
        ------
        NormLensError
            If the file can't be written.
        """
        try:
            whole = self.data.to_netcdf(engine="h5netcdf")
        except ValueError as error:
            raise NormLensError(f"{path} can't hold this analysis: {error}. Try to_json() or to_parquet().") from error
        return write_atomically(path, whole)

    @staticmethod
    def load(path: str | Path) -> Analysis:
        """Read what :meth:`save` or :meth:`to_json` wrote. Files from any source are safe to read: no other file is opened.

        Raises
        ------
        NormLensError
            If the file doesn't exist, or isn't a complete analysis.
        """
        tree = read_tree(path)
        try:
            check_analysis(tree)
        except InvalidInput as error:
            raise InvalidInput(
                f"{path} can't be read as an analysis: {error} Expected a file of Analysis.save()."
            ) from error
        return Analysis(tree)

    def to_parquet(self, path: str | Path, level: str = "layer") -> Path:
        """Write :meth:`to_dataframe` as Parquet; the file appears complete or not at all."""
        return write_atomically(path, self.to_dataframe(level).to_parquet(index=False))

    @overload
    def to_json(self, path: None = None) -> str: ...
    @overload
    def to_json(self, path: str | Path) -> Path: ...
    def to_json(self, path: str | Path | None = None) -> str | Path:
        """The whole analysis as JSON text, NaN as null; with ``path``, it is written there, and the path is returned."""
        groups = {name: plain(self.data[name].to_dataset().to_dict()) for name in self.groups}
        text = json.dumps({"attrs": plain(self.attrs), "groups": groups}, ensure_ascii=False, allow_nan=False)
        return text if path is None else write_atomically(path, text)

    def plot(
        self,
        layer: int | None = None,
        head: int | None = None,
        *,
        group: str | None = None,
        scope: Scope = "attention",
        ax: AxesLike | None = None,
    ) -> PanelAxes:
        """Heat maps of attention weights and norms, side by side.

        Parameters
        ----------
        layer, head
            The layer, by its number in the model (default: the first measured layer), and the head. Without a head, the mean
            weight and the norm of the sum over heads are drawn.
        group
            The group (default: the first one).
        scope
            The scope of the norm.
        ax
            Two axes to draw into. Default: those of a new figure.

        Returns
        -------
        numpy.ndarray of matplotlib.axes.Axes
            ``(panel,)``, as from `normlens.figures.heat_maps`, which has further options.
        """
        from normlens.figures import heat_maps

        data = self[group or self.groups[0]].data
        return heat_maps(data, int(data["layer"][0]) if layer is None else layer, head, scope=scope, ax=ax)

    @overload
    def to_html(self, path: None = None) -> str: ...
    @overload
    def to_html(self, path: str | Path) -> Path: ...
    def to_html(self, path: str | Path | None = None) -> str | Path:
        """A self-contained HTML page of the analysis; with ``path``, it is written there, and the path is returned."""
        from normlens.figures import html_view

        page = html_view(self.data, textwrap.shorten(self.attrs.get("text", ""), 100, placeholder=" …"))
        return page if path is None else write_atomically(path, page)

    def view(self, height: int = 720) -> FramedPage:
        """The explorer of this analysis in a notebook's cell, without a server; a saved or exported notebook keeps it.

        Parameters
        ----------
        height
            Height of the cell's output in pixels.

        Raises
        ------
        InvalidInput
            If there are more than 24 million numbers by target and source, or maps are missing.
        """
        from normlens.figures.framed import FramedPage

        return FramedPage(self.to_html(), height)

    def _refuse_reduced(self, instead: str) -> None:
        """Refuse what needs the maps of an analysis that kept a summary instead; the message ends with the advice."""
        if self.attrs.get("reduce"):
            raise InvalidInput(f"This analysis was reduced and has no maps of each pair; {instead}.")

    def _datasets(self) -> Iterator[xr.Dataset]:
        return (self.data[name].to_dataset() for name in self.groups)
