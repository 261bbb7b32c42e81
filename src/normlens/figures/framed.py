"""Pages and pictures inside a notebook: complete in themselves, so that their names and styles meet no others."""

import html
from base64 import b64encode
from io import BytesIO

import xarray as xr

from normlens.figures.heatmaps import heat_maps
from normlens.figures.panels import AxesLike, figure_of
from normlens.figures.style import kept_from_the_screen

_MOST_TOKENS = 64  # along a side of small heat maps


class FramedPage:
    """An HTML page that a notebook shows in a frame of its own.

    Parameters
    ----------
    page
        A whole page, complete in itself.
    height
        Height of the frame in pixels.
    """

    def __init__(self, page: str, height: int) -> None:
        self._page, self._height = page, height

    def __repr__(self) -> str:
        return "<The explorer of an analysis, shown in notebooks. Elsewhere, call .to_html(path) of the analysis.>"

    def _repr_html_(self) -> str:
        return framed(self._page, self._height)


def framed(page: str, height: int = 280) -> str:
    """An HTML page as a frame that holds all of it, without access to what is around it.

    Parameters
    ----------
    page
        A whole page, complete in itself.
    height
        Height of the frame in pixels; what is longer can be scrolled.
    """
    return (
        f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts allow-downloads" title="normlens" '
        f'style="width: 100%; height: {height}px; border: 0"></iframe>'
    )


def pictured(axes: AxesLike, alt: str) -> str:
    """A figure as an image of HTML that holds all of it.

    Parameters
    ----------
    axes
        What a function of this room returned inside `normlens.figures.style.kept_from_the_screen`.
    alt
        What the figure shows, for those who don't see it.
    """
    buffer = BytesIO()
    figure_of(axes).savefig(buffer, format="png", dpi=100)
    source = b64encode(buffer.getvalue()).decode()
    return f'<img src="data:image/png;base64,{source}" alt="{html.escape(alt)}" style="max-width: 100%">'


def small_heat_maps(data: xr.Dataset) -> str:
    """The heat maps of the first layer as an image of HTML.

    Parameters
    ----------
    data
        One group of an analysis.

    Returns
    -------
    str
        Empty where there are no maps, or more than 64 tokens along a side.
    """
    sides = [data.sizes.get(name, 0) for name in ("target", "source")]
    if not {"weight", "norm"} <= set(data.data_vars) or not all(0 < size <= _MOST_TOKENS for size in sides):
        return ""
    with kept_from_the_screen():
        return pictured(heat_maps(data, int(data["layer"][0])), "Heat maps of one layer, by weight and by norm")
