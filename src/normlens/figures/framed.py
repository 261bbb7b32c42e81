"""A page inside a notebook: in a frame of its own, where its names and styles meet no others."""

import html


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
        f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts" title="normlens" '
        f'style="width: 100%; height: {height}px; border: 0"></iframe>'
    )
