"""``normlens view``: the explorer, in the browser."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from normlens.cli import options
from normlens.cli.opening import open_lens
from normlens.cli.terminal import messages, printable
from normlens.cli.text_files import read_text
from normlens.errors import InvalidInput


def view(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="Models that the page offers: bundled names, Hub ids, folders, or GGUF files. Default: minilm-l6.",
            show_default=False,
        ),
    ] = None,
    text: options.SingleText = None,
    file: options.TextFile = None,
    target_text: options.TargetText = None,
    gold: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Annotated links of the words of the two texts, in the first line of a file as aer reads it.",
        ),
    ] = None,
    gold_base: options.GoldBase = 1,
    clusters: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Clusters of heads, as cluster heads -o writes them: colors for the points."),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the page's address. Default: a free one.")
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address without opening a browser.")
    ] = False,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Open the explorer in the browser: every head, weights beside norms, on your own model and text.

    The page is served to this machine alone, and loads nothing from the network. Press Ctrl-C to stop.

    [bold]Examples[/bold]

    - [cyan]normlens view[/cyan]

    - [cyan]normlens view minilm-l6 smollm2-135m --text "The capital of France is Paris."[/cyan]

    - [cyan]normlens view ./my-model --file page.txt --port 8080 --no-browser[/cyan]

    - [cyan]normlens view de-en --text "Das ist gut ." --target-text "That is good ." --gold gold.talp[/cyan]

    - [cyan]normlens view minilm-l6 --clusters clusters.json[/cyan]
    """
    names = list(dict.fromkeys(models or ["minilm-l6"]))
    if revision is not None and len(names) > 1:
        raise InvalidInput(f"--revision {revision} is of one model, and {len(names)} are named. Name one of them.")
    shown = "" if text is None and file is None else read_text(text, file)
    if gold is not None and not (shown and target_text):
        raise InvalidInput(f"{gold} links the words of two texts. Give these too: --text or --file, and --target-text.")
    links = "" if gold is None else _links(gold, gold_base)

    from normlens.view import OfferedModel, ViewService, serve
    from normlens.view.head_clusters import read_clusters

    clustered = None if clusters is None else read_clusters(clusters)

    opening = partial(
        open_lens, device=device, dtype=dtype, revision=revision, trust_remote_code=trust_remote_code
    )  # loaded when the page asks for them
    offered = [OfferedModel(name, partial(opening, name), revision) for name in names]
    service = ViewService(offered, text=shown, target_text=target_text or "", gold=links, clusters=clustered, log=_log)
    serve(service, port, _announce, opens_browser=not no_browser)


def _links(path: Path, base: int) -> str:
    """The links of a file's first sentence pair, words counted from 0."""
    from normlens.bitext.link_files import LinkFile

    pairs = LinkFile(path, base).read()
    if not pairs or not pairs[0].possible:
        raise InvalidInput(
            f"{path} has no links of a first sentence pair. Its first line should hold those of the texts."
        )
    sure, possible = pairs[0].sure, pairs[0].possible
    return " ".join(
        f"{source}{'-' if (source, target) in sure else 'p'}{target}" for source, target in sorted(possible)
    )


def _announce(address: str) -> None:
    console = messages()
    console.print(f"The explorer is at {address}", markup=False, soft_wrap=True, highlight=False)
    console.print("Press Ctrl-C to stop.")


def _log(line: str) -> None:
    messages().print(printable(" ".join(line.split())), markup=False, soft_wrap=True)
