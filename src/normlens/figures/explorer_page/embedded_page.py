"""The explorer's page as one file with its data inside, which opens from disk and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from normlens.figures.explorer_page.binary_message import Message
from normlens.figures.style import readable

MOST_NUMBERS = 24_000_000
"""Numbers by target and source that a page holds at most; a browser handles more, but not well."""


def static_folder() -> Path:
    """The folder of the page that was built from ``web/``."""
    return Path(str(resources.files("normlens.figures.explorer_page").joinpath("static")))


def embedded_page(messages: Mapping[str, Message], title: str) -> str:
    """Return the page with these messages inside.

    Parameters
    ----------
    messages
        What the explorer's server would send, by name: "overview", and maps as :func:`map_name` names them.
    title
        Title of the page.
    """
    assets = static_folder() / "assets"
    style = (assets / "index.css").read_text(encoding="utf-8")
    script = _inline((assets / "explorer.js").read_text(encoding="utf-8"))
    template = Environment(
        loader=PackageLoader("normlens.figures"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("explorer.html")
    return template.render(
        title=readable(title),
        policy=f"default-src 'none'; script-src {_source(script)}; style-src {_source(style)}; img-src data: blob:",
        style=Markup(style),  # files of the package, which are trusted and must not be escaped
        script=Markup(script),
        messages=[(name, base64.b64encode(message.encoded()).decode("ascii")) for name, message in messages.items()],
    )


def bounded(messages: Iterable[tuple[str, Message]]) -> tuple[dict[str, Message], bool]:
    """The first messages, up to `MOST_NUMBERS` numbers by target and source together, and whether these are all."""
    kept: dict[str, Message] = {}
    numbers = 0
    for name, message in messages:
        numbers += sum(packed.numbers.size for packed in message.arrays.values() if packed.numbers.ndim == 2)
        if numbers > MOST_NUMBERS:
            return kept, False
        kept[name] = message
    return kept, True


def map_name(group: str, layer: int, head: int | None, measure: str) -> str:
    """The name of a map's message. Weighted norms are products of vector norms, so that both have one message."""
    kept = "vector_norm" if measure == "weighted_norm" else measure
    return f"map/{group}/{layer}/{'all' if head is None else head}/{kept}"


def _inline(script: str) -> str:
    """A script that can stand between tags: in its strings, a backslash keeps the end tag from being one."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _source(text: str) -> str:
    """What a content security policy calls an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"
