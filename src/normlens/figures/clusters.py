"""Objects with distances, such as attention heads: a map in two dimensions beside the tree with its certified nodes."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.linalg import eigh
from scipy.spatial.distance import squareform
from sklearn.manifold import smacof

from normlens.errors import InvalidInput
from normlens.figures.panels import (
    AxesLike,
    FigureSize,
    PanelAxes,
    chosen_panels,
    draw_letter_by_letter,
    drawing,
)
from normlens.figures.style import FAINT, INK, NORM_COLOR, WEIGHT_COLOR, readable

# Okabe and Ito's palette without its yellow; markers tell further clusters apart.
_COLORS = (WEIGHT_COLOR, NORM_COLOR, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#555555")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_ASIDE = "#9AA3AB"
_MOST_NAMES, _MOST_LEAVES = 40, 160  # beside the points, and below the tree
_MAP, _TREE, _LEAF = 4.3, 5.3, 0.08  # width of the map, of the tree, and of a leaf with a name, in inches

_Look = tuple[str, str]
"""Color and marker."""


def cluster_map(
    distances: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    kinds: Sequence[str] = (),
    aside: str = "",
    certified: Sequence[tuple[Sequence[int], float]] = (),
    title: str = "",
    unit: str = "distance",
    panel: Literal["map", "tree"] | None = None,
    ax: AxesLike | None = None,
    figsize: FigureSize | None = None,
) -> PanelAxes:
    """Draw objects in two dimensions, similar ones close together, beside the tree in which they merge.

    On the left is metric multidimensional scaling (SMACOF, started from classical scaling), on the right the
    average-linkage dendrogram. A node of the tree whose points form a cluster of a verified good clustering is marked by
    a diamond with the α* of that clustering. Clusters have the same color and marker in both panels.

    Parameters
    ----------
    distances
        ``(n, n)``, symmetric, for at least three objects.
    labels
        ``(n,)`` clusters, -1 for none; without them all points are gray.
    names
        ``(n,)`` labels of the objects, such as ``"3.7"`` for layer 3, head 7; drawn beside the points for at most 40
        objects, and below the tree for at most 160.
    kinds
        What the members of each cluster have in common, for the legend; without them the legend numbers the clusters.
    aside
        Clusters whose kind begins with this word are gray and share an entry of the legend, so that the others stand out.
    certified
        The certified clusters, each as the numbers of its points and the α* of its clustering. A cluster that isn't a
        node of this tree has no diamond.
    title
        Above a new figure, or above each panel in the caller's axes.
    unit
        Label of the dendrogram's distance axis.
    panel
        Draw this panel alone. Default: both.
    ax
        Axes to draw into, one per panel. Default: those of a new figure.
    figsize
        Width and height of a new figure in inches. Default: wide enough for the names.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        ``(panel,)``: the map and the tree.

    Raises
    ------
    InvalidInput
        If the shapes don't fit together, a distance isn't finite, all are zero, there is no such panel, or `ax` doesn't
        have one axes per panel.
    """
    matrix, codes = _checked(distances, labels, names)
    names, kinds = None if names is None else [*map(readable, names)], [*map(readable, kinds)]
    looks = _looks(codes, kinds, aside)
    named = names is not None and len(names) <= _MOST_LEAVES
    widths = {"map": _MAP, "tree": max(_TREE, _LEAF * len(matrix)) if named else _TREE}
    shown = chosen_panels(panel, widths)
    size = sum(widths[name] for name in shown), 4.4
    with drawing(ax, shown, size, figsize, width_ratios=[widths[name] for name in shown]) as panels:
        for axes, name in zip(panels.axes, shown, strict=True):
            if name == "map":
                _draw_points(axes, matrix, codes, names, looks)
            else:
                _draw_tree(axes, matrix, codes, names, certified, unit, looks)
        panels.heading(title)
        handles = _legend(codes, kinds, aside, looks, bool(certified) and "tree" in shown)
        if handles:
            panels.legend(handles, loc="outside lower center", ncols=min(len(handles), 4 if kinds else 6))
    return panels.array


def _checked(
    distances: ArrayLike, labels: ArrayLike | None, names: Sequence[str] | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    matrix = np.asarray(distances, dtype=np.float64)
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] and len(matrix) > 2
    if not (square and np.isfinite(matrix).all() and matrix.any()):
        raise InvalidInput(
            f"The distances have shape {matrix.shape}; expected (n, n) finite numbers for three objects or more that don't "
            "all lie in one place. Pass what HeadDistances.matrix() returns."
        )
    codes = np.full(len(matrix), -1, dtype=np.intp) if labels is None else np.asarray(labels, dtype=np.intp)
    if codes.shape != (len(matrix),) or (names is not None and len(names) != len(matrix)):
        raise InvalidInput(
            f"There are {len(matrix)} objects, but labels of shape {codes.shape} and "
            f"{'no' if names is None else len(names)} names. Give each object one of each."
        )
    return (matrix + matrix.T) / 2, codes


def _embedding(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n 2"]:
    """Two-dimensional coordinates whose distances approximate those of the matrix."""
    count = len(matrix)
    squares = matrix**2
    centered = -(squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean()) / 2
    values, vectors = eigh(centered, subset_by_index=[count - 2, count - 1])
    start = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 1e-12 * max(float(values[-1]), 1e-300)))
    return np.asarray(smacof(matrix, n_components=2, init=start, n_init=1, random_state=0, normalized_stress=False)[0])


def _draw_points(
    axes: Axes,
    matrix: NDArray[np.float64],
    codes: NDArray[np.intp],
    names: Sequence[str] | None,
    looks: Mapping[int, _Look],
) -> None:
    places = _embedding(matrix)
    for code in np.unique(codes):
        (x, y), (color, marker) = places[codes == code].T, looks[int(code)]
        axes.scatter(x, y, s=34 if len(codes) <= 100 else 16, marker=marker, color=color, alpha=0.85, linewidths=0)
    if names is not None and len(names) <= _MOST_NAMES:
        for name, place in zip(names, places, strict=True):
            axes.annotate(name, place, xytext=(4, 3), textcoords="offset points", fontsize=6.5, color=INK)
    axes.set(title="near each other where they are alike", xticks=[], yticks=[])
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.1)


def _draw_tree(
    axes: Axes,
    matrix: NDArray[np.float64],
    codes: NDArray[np.intp],
    names: Sequence[str] | None,
    certified: Sequence[tuple[Sequence[int], float]],
    unit: str,
    looks: Mapping[int, _Look],
) -> None:
    merges = linkage(squareform(matrix, checks=False), "average")
    members = _members(merges)
    shared = [_shared(codes[np.array(node)]) for node in members]
    few = names is not None and len(names) <= _MOST_LEAVES
    drawn = dendrogram(
        merges,
        ax=axes,
        labels=list(names) if few and names is not None else None,
        no_labels=not few,
        link_color_func=lambda node: FAINT if (code := shared[node]) is None else looks[code][0],
        leaf_font_size=6.5 if len(matrix) <= _MOST_NAMES else 5.0,
        leaf_rotation=90,
    )
    draw_letter_by_letter(axes.get_xticklabels())
    _draw_certified(axes, merges, members, _middles(merges, np.asarray(drawn["leaves"])), certified)
    axes.set(title="how they merge (average linkage)", ylabel=unit)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.margins(y=0.08)
    axes.set_ylim(bottom=0)


def _draw_certified(
    axes: Axes,
    merges: NDArray[np.float64],
    members: Sequence[tuple[int, ...]],
    middles: NDArray[np.float64],
    certified: Sequence[tuple[Sequence[int], float]],
) -> None:
    """A diamond, with the best α*, at every node whose points are a certified cluster."""
    best: dict[int, float] = {}
    nodes = {frozenset(node): number for number, node in enumerate(members)}
    count = len(merges) + 1
    for cluster, alpha in certified:
        node = nodes.get(frozenset(int(point) for point in cluster), -1)
        if node >= count:
            best[node] = max(alpha, best.get(node, 0.0))
    for node, alpha in best.items():
        x, y = middles[node], merges[node - count, 2]
        axes.plot(x, y, marker="D", markersize=6, color=INK, zorder=5)
        text = "∞" if np.isinf(alpha) else f"{alpha:.2f}"
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes.annotate(
            text, (x, y), xytext=(7, 0), textcoords="offset points", va="center", fontsize=7.5, zorder=6, bbox=box
        )


def _members(merges: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """The points of each node, single points first."""
    members: list[tuple[int, ...]] = [(point,) for point in range(len(merges) + 1)]
    for left, right in merges[:, :2].astype(int):
        members.append(members[left] + members[right])
    return members


def _middles(merges: NDArray[np.float64], leaves: NDArray[np.intp]) -> NDArray[np.float64]:
    """Where each node's bar has its middle, as scipy draws it: leaf i at 10 i + 5."""
    count = len(leaves)
    middles = np.empty(2 * count - 1)
    middles[leaves] = 10 * np.arange(count) + 5
    for node, (left, right) in enumerate(merges[:, :2].astype(int), start=count):
        middles[node] = (middles[left] + middles[right]) / 2
    return middles


def _shared(codes: NDArray[np.intp]) -> int | None:
    """The cluster that all of a node's points are in; None if there is no such cluster."""
    return int(codes[0]) if codes[0] >= 0 and (codes == codes[0]).all() else None


def _looks(codes: NDArray[np.intp], kinds: Sequence[str], aside: str) -> dict[int, _Look]:
    """Color and marker of each cluster; those that stand aside look alike."""
    looks: dict[int, _Look] = {-1: (FAINT, ".")}
    shown = 0
    for code in np.unique(codes[codes >= 0]).tolist():
        if aside and code < len(kinds) and kinds[code].startswith(aside):
            looks[code] = (_ASIDE, "o")
            continue
        looks[code] = (_COLORS[shown % len(_COLORS)], _MARKERS[(shown + shown // len(_COLORS)) % len(_MARKERS)])
        shown += 1
    return looks


def _legend(
    codes: NDArray[np.intp], kinds: Sequence[str], aside: str, looks: Mapping[int, _Look], certified: bool
) -> list[Line2D]:
    handles, left = [], []
    for code, size in zip(*np.unique(codes[codes >= 0], return_counts=True), strict=True):
        if looks[int(code)][0] == _ASIDE:
            left.append(int(size))
            continue
        name = kinds[code] if code < len(kinds) else f"cluster {code + 1}"
        handles.append(_handle(*looks[int(code)], f"{name} ({size})"))
    if left:
        handles.append(_handle(_ASIDE, "o", f"{aside} ({sum(left)}, in {len(left)} clusters)"))
    if certified:
        handles.append(_handle(INK, "D", "certified: each is α* times nearer to its own"))
    return handles


def _handle(color: str, marker: str, label: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=color, label=label)
