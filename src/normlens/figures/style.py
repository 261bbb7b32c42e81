"""How the pictures look: colors, fonts, and tokens as a person can read them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from normlens.errors import InvalidInput
from normlens.figures.glyphs import missing_reported_once
from normlens.words.characters import shown

# Okabe and Ito's palette, which people with any of the common color deficiencies can tell apart.
WEIGHT_COLOR = "#0072B2"
NORM_COLOR = "#D55E00"
MEASURE_COLORS = {"weight": WEIGHT_COLOR, "norm": NORM_COLOR}
MEASURE_TITLES = {
    "weight": "what the weights say",
    "norm": "what attention moves",
    "displacement": "how far each source moves the output",
    "contribution_weight": "shares of the output",
}

CATEGORY_COLORS = {"special": "#AA3377", "first token": "#E69F00", "punctuation": "#009E73", "other": "#8C8C8C"}
CATEGORY_MARKERS = {"special": "D", "first token": "s", "punctuation": "^", "other": "o"}
CATEGORY_TITLES = {
    "special": "special tokens",
    "first token": "first token",
    "punctuation": "punctuation",
    "other": "other tokens",
    "sink": "attention sink",
    "own": "own vector",
}

INK = "#222222"
FAINT = "#9A9A9A"
MISSING = "#DDDDDD"

# DejaVu Sans comes with matplotlib; of the others, those that the machine has stand in for scripts that it lacks.
_FALLBACK_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Hiragino Sans",
    "PingFang SC",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Emoji",
)
_VISIBLE = {"\n": "↵", "\r": "␍", "\t": "⇥"}


def fonts() -> list[str]:
    """Return the font families to draw with: DejaVu Sans, then the installed fallbacks for other scripts."""
    installed = set(font_manager.fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in _FALLBACK_FONTS if name in installed)]


_LETTER_BY_LETTER: dict[Any, Any] = {
    "text.usetex": False,
    "text.parse_math": False,
}  # a dollar sign in a token is a dollar sign


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw in the package's style inside the block; matplotlib's settings are restored afterwards."""
    with mpl.rc_context(
        {
            **_LETTER_BY_LETTER,
            "font.family": fonts(),
            "font.size": 9,
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "axes.edgecolor": FAINT,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.linewidth": 0.8,
            "text.color": INK,
            "xtick.color": FAINT,
            "ytick.color": FAINT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "xtick.labelsize": 8,
            "ytick.labelsize": 8,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "svg.fonttype": "none",  # text stays text
            "svg.hashsalt": "normlens",  # the same picture gives the same file
            "pdf.fonttype": 42,
        }
    ):
        yield


@contextmanager
def callers_style() -> Iterator[None]:
    """Draw in the caller's style inside the block: their sizes, lines and fonts, with fallback fonts for other scripts."""
    families = [*mpl.rcParams["font.family"], *fonts()]
    with mpl.rc_context({**_LETTER_BY_LETTER, "font.family": families}):
        yield


_FOR_FILES: ContextVar[bool] = ContextVar("normlens_figures_for_files", default=False)


@contextmanager
def kept_from_the_screen() -> Iterator[None]:
    """Make figures for files only: those made inside the block are not shown in interactive sessions."""
    token = _FOR_FILES.set(True)
    try:
        yield
    finally:
        _FOR_FILES.reset(token)


def _is_shown() -> bool:
    """Whether new figures are shown: in interactive sessions, and in notebooks, also before pyplot is imported there."""
    if _FOR_FILES.get():
        return False
    shell = sys.modules.get("IPython")
    session = None if shell is None else shell.get_ipython()
    return mpl.is_interactive() or getattr(session, "kernel", None) is not None


class _Picture(Figure):
    """A figure that is saved in the house's style by matplotlib's own method too, and that notebooks show as a PNG."""

    def _repr_png_(self) -> bytes:
        """The figure as IPython shows it where matplotlib isn't integrated."""
        buffer = BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as matplotlib does; missing letters are reported in one line, and control characters are made visible."""
        suffix = Path(fname).suffix if isinstance(fname, str | PathLike) else ""
        form = options.get("format") or suffix[1:] or str(mpl.rcParams["savefig.format"])
        make_readable(self)
        with missing_reported_once(form.lower()), drawing_style():
            super().savefig(fname, **options)


def make_readable(drawn: Artist) -> None:
    """Make control characters visible in all texts of a figure or of axes: an SVG file with them can't be read."""
    for text in drawn.findobj(Text):
        if isinstance(text, Text) and not text.get_text().isprintable():
            text.set_text(
                "\n".join(shown(line, lambda letter: ascii(letter)[1:-1]) for line in text.get_text().split("\n"))
            )


def new_figure(width: float, height: float, *, square: bool = False) -> Figure:
    """Return an empty figure, `width` by `height` inches, whose layout keeps `square` cells square.

    In notebooks, and in other interactive sessions (``matplotlib.is_interactive()``), it is registered with pyplot and hence
    shown. Elsewhere it is garbage collected as any other object.
    """
    options: dict[str, Any] = {
        "figsize": (width, height),
        "dpi": 150,
        "layout": "compressed" if square else "constrained",
    }
    if _is_shown():
        from matplotlib import pyplot

        mpl.interactive(True)  # or a notebook doesn't show it; the settings in force outside come back with the style
        return pyplot.figure(FigureClass=_Picture, **options)
    return _Picture(**options)


ColorMap: TypeAlias = str | Colormap
"""A matplotlib color map, or the name of one."""


def color_map(measure: str, cmap: ColorMap | None = None) -> Colormap:
    """Return the caller's color map, or that from white to the dark shade of a measure's color; missing values are gray."""
    if cmap is not None:
        return checked_color_map(cmap)
    shades = {
        "weight": ["#FFFFFF", "#C6DDEE", "#5FA4D0", "#0072B2", "#003A5C"],
        "norm": ["#FFFFFF", "#F9D9C2", "#EB9A62", "#D55E00", "#6E3000"],
        "displacement": ["#FFFFFF", "#C9E8DC", "#66C2A0", "#009E73", "#00513B"],
    }
    return LinearSegmentedColormap.from_list(f"normlens-{measure}", shades[measure]).with_extremes(bad=MISSING)


def signed_color_map(cmap: ColorMap | None = None) -> Colormap:
    """Return the caller's color map, or that for signed numbers: vermilion below zero, white at zero, blue above."""
    if cmap is not None:
        return checked_color_map(cmap)
    ramp = LinearSegmentedColormap.from_list(
        "normlens-signed",
        ["#6E3000", NORM_COLOR, "#FFFFFF", WEIGHT_COLOR, "#003A5C"],
        N=257,  # odd, so that zero itself is white
    )
    return ramp.with_extremes(bad=MISSING)


def checked_color_map(cmap: ColorMap) -> Colormap:
    """Return a color map that draws missing values in gray.

    Raises
    ------
    InvalidInput
        If matplotlib has no color map of that name.
    """
    if isinstance(cmap, str) and cmap not in mpl.colormaps:
        raise InvalidInput(
            f"There is no color map '{cmap}'; expected a name in matplotlib.colormaps, such as 'viridis'."
        )
    if not isinstance(cmap, str | Colormap):
        raise InvalidInput(f"cmap is {cmap!r}; expected a matplotlib color map or its name, such as 'viridis'.")
    return mpl.colormaps.get_cmap(cmap).with_extremes(bad=MISSING)


def color_bar(mesh: ScalarMappable, axes: Axes) -> Colorbar:
    """Put a color bar beside a panel, without a frame, and in vectors as the panel is."""
    assert axes.figure is not None  # a panel is in a figure
    bar = axes.figure.colorbar(mesh, ax=axes, shrink=0.9, aspect=28, pad=0.02)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    return bar


def readable(token: str) -> str:
    r"""Return a token with its white space and unprintable characters made visible; joiners inside words stay.

    Examples
    --------
    >>> readable("\n"), readable(" "), readable("Ġword"), readable("\x00")
    ('↵', '␣', 'Ġword', '\\x00')
    """
    if not token:
        return "∅"
    if token.isspace() and set(token) == {" "}:
        return "␣" * len(token)
    return shown(token, lambda letter: _VISIBLE.get(letter) or ascii(letter)[1:-1])


def shortened(label: str, longest: int) -> str:
    """Cut a label to a number of letters; the text after a space, the mark of an unknown token, is kept.

    Examples
    --------
    >>> shortened("unbelievably", 8), shortened("unbelievably [UNK]", 8)
    ('unbelie…', 'unbelie… [UNK]')
    """
    surface, space, mark = label.partition(" ")
    return (surface if len(surface) <= longest else surface[: longest - 1] + "…") + space + mark
