"""The report's page, from the same content in Markdown and in HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from normlens.figures.style import readable
from normlens.statistics.report.definitions import DEFINITIONS
from normlens.statistics.report.tables import Table

_CAPTIONS = {
    "share": "Share of weight and of norm (of the sum over heads) by layer; bands are intervals of the mean over texts",
    "tokens": "α against ‖f(x)‖, means over layers and heads, of tokens drawn at random from the corpus",
    "mixing_ratio": "Mixing ratio by layer and scope, by weight and by norm",
    "vector_norm": "Mean of ‖f(x)‖ for each head",
    "vector_norm_variation": "Variation of ‖f(x)‖ inside a text, for each head",
    "correlation_weight_vector_norm": "Rank correlation of α with ‖f(x)‖ inside a text, for each head",
    "correlation_weight_frequency": "Rank correlation of α with frequency rank inside a text, for each head",
    "correlation_vector_norm_frequency": "Rank correlation of ‖f(x)‖ with frequency rank inside a text, for each head",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes
    ----------
    path
        Relative to the report's folder.
    caption
        One line.
    data_uri
        The whole picture, for a page without other files.
    """

    path: str
    caption: str
    data_uri: str

    @classmethod
    def of(cls, path: Path, folder: Path, kind: str, name: str) -> Picture:
        """Return the picture of a saved SVG file.

        Parameters
        ----------
        path
            The file.
        folder
            The report's folder, which contains it.
        kind
            Kind of attention.
        name
            Name of the figure, which determines its caption.

        Returns
        -------
        Picture
        """
        encoded = base64.b64encode(path.read_bytes()).decode("ascii")
        return cls(path.relative_to(folder).as_posix(), _caption(name, kind), f"data:image/svg+xml;base64,{encoded}")


@dataclass(frozen=True)
class Section:
    """The section of the page on one kind of attention.

    Attributes
    ----------
    kind
        "encoder", "decoder", "cross", ...
    findings
        The findings in sentences.
    tables, pictures
        In the order of the page.
    """

    kind: str
    findings: list[str]
    tables: list[Table]
    pictures: list[Picture]


def render(
    paths: Mapping[str, Path],
    *,
    title: str,
    sections: list[Section],
    measured: Mapping[str, str],
    n_texts: int,
    confidence: int,
) -> None:
    """Write the page in each format.

    Parameters
    ----------
    paths
        Where to write, by format: "md", "html".
    title
        First line of the page.
    sections
        One for each kind of attention.
    measured
        Facts about the measurement, by name.
    n_texts
        Number of texts.
    confidence
        Confidence level of the intervals, in percent.
    """
    environment = Environment(
        loader=PackageLoader("normlens.statistics.report"),
        autoescape=select_autoescape(["html.jinja"]),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["line"] = _one_line
    environment.filters["cell_value"] = lambda cell: cell.partition(" (")[0]
    environment.filters["cell_interval"] = lambda cell: "".join(cell.partition(" (")[1:]).strip()
    environment.filters["cell"] = lambda text: _one_line(text).replace("|", "\\|")
    for suffix, path in paths.items():
        page = environment.get_template(f"report.{suffix}.jinja").render(
            title=readable(title),
            sections=sections,
            measured={name: readable(value) for name, value in measured.items()},
            n_texts=n_texts,
            confidence=confidence,
            definitions=DEFINITIONS,
        )
        path.write_text(page, encoding="utf-8")


def _caption(name: str, kind: str) -> str:
    """Return the caption of a figure, in one line."""
    words = name.replace("_", " ")
    if name.startswith("head_share_"):
        what = words.removeprefix("head share ")
        caption = f"Share of α and of ‖α f(x)‖ for each head: {what}"
    elif name.startswith("example_"):
        caption = words.replace(" alpha against norm", ": α against ‖f(x)‖").replace(" layer", ": layer").capitalize()
    else:
        caption = _CAPTIONS.get(name, words.capitalize())
    return f"{caption} ({kind})"


def _one_line(text: str) -> str:
    """Keep text from breaking out of its line in Markdown, or from becoming HTML, a link or a picture there."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace("[", "\\[")
