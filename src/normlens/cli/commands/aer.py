"""``normlens aer``: compare links with annotated ones."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from normlens.cli.options import Json
from normlens.cli.terminal import messages, results, starting
from normlens.cli.text_files import unreadable
from normlens.errors import InvalidInput
from normlens.files.reading import refuse_unreadable

if TYPE_CHECKING:
    from normlens.alignment import Difference, Evaluation, LinkFile, LinkSets

_TEXTS = "Check links against the texts"


def aer(
    gold: Annotated[
        Path,
        typer.Argument(
            metavar="GOLD",
            help="Annotated links: 3-4 is sure, 3p4 possible. Or the NAACL format, .wa.",
            show_default=False,
        ),
    ],
    hypothesis: Annotated[
        Path,
        typer.Argument(
            metavar="HYPOTHESIS", help="Links to evaluate: Pharaoh, .talp, JSON lines or .wa.", show_default=False
        ),
    ],
    other: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Other links of the same sentences, to test the difference for significance."
        ),
    ] = None,
    gold_base: Annotated[int, typer.Option(min=0, max=1, help="Number of the first word in the gold file.")] = 1,
    hyp_base: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="Number of the first word in the other files. Default: 0, but 1 in .wa files."),
    ] = None,
    source_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The source sentences.", rich_help_panel=_TEXTS)
    ] = None,
    target_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The target sentences.", rich_help_panel=_TEXTS)
    ] = None,
    as_json: Json = False,
) -> None:
    """Alignment error rate, precision and recall, with 95 % bootstrap intervals over sentences.

    [bold]Examples[/bold]

    - [cyan]normlens aer gold.talp links.txt[/cyan]

    - [cyan]normlens aer gold.talp links.txt --other fast_align.txt[/cyan]

    - [cyan]normlens aer gold.talp links.txt --gold-base 0 --json | jq .aer[/cyan]
    """
    with starting():
        from normlens.alignment import LinkFile, difference, evaluate

    names = [hypothesis] if other is None else [hypothesis, other]
    files = [LinkFile(gold, gold_base), *(LinkFile(name, hyp_base) for name in names)]
    annotated, *alignments = _read(files)
    if source_file is not None and target_file is not None:
        _check_words([annotated, *alignments], source_file, target_file, [gold, *names])
    found = [evaluate(annotated, links) for links in alignments]
    apart = None if other is None else difference(annotated, *alignments)
    if as_json:
        of_other = {} if apart is None else {"against": found[1].as_dict(), "difference": apart.as_dict()}
        typer.echo(json.dumps(found[0].as_dict() | {"bases": [file.base for file in files]} | of_other))
        return
    for name, one in zip(names, found, strict=True):
        if other is not None:
            _say(f"{name}:")
        results().print(_table(one))
        _say(
            f"{one.sentences} sentence pairs, {one.links} links against {one.sure} sure and {one.possible} possible ones"
        )
    if apart is not None:
        _say(_said(apart, *names))
    _say(f"Words are counted from {', '.join(f'{file.base} in {file.path}' for file in files)}.")


def _say(text: str) -> None:
    results().print(text, markup=False, soft_wrap=True)


def _read(files: Sequence[LinkFile]) -> list[list[LinkSets]]:
    """The links of every file; one that names its pairs is as long as the others, and is told if pairs are missing."""
    from normlens.alignment import LinkSets

    lengths = [len(file.read()) for file in files if not file.names_pairs]
    found = [file.read(max(lengths, default=None)) for file in files]
    pairs = max(map(len, found))
    if files[0].names_pairs and not lengths:
        found = [of_file + [LinkSets.from_links(())] * (pairs - len(of_file)) for of_file in found]
    empty = sum(not links.possible for links in found[0])
    if files[0].names_pairs and empty:
        messages().print(
            f"{files[0].path} names {len(found[0]) - empty} of {len(found[0])} sentence pairs; the others count as having "
            "no links.", markup=False, soft_wrap=True,
        )  # fmt: skip
    return found


def _said(apart: Difference, one: Path, other: Path) -> str:
    """The difference of two alignments in words."""
    low, high = (100 * x for x in apart.aer_interval)
    names = (one.name, other.name) if one.name != other.name else (str(one), str(other))
    numbers = f"{100 * apart.aer:+.1f}" + ("" if low != low else f" ({low:+.1f} to {high:+.1f})")
    better = names[0] if apart.aer < 0 else names[1]
    verdict = f"{better} is better by more than chance" if low > 0 or high < 0 else "that may be chance"
    return f"AER of {names[0]} minus that of {names[1]}: {numbers}; {verdict}."


def _check_words(files: list[list[LinkSets]], source: Path, target: Path, names: list[Path]) -> None:
    from normlens.alignment.formats import check_ranges

    sizes = [list(_word_counts(path)) for path in (source, target)]
    for path, of_file in zip(names, files, strict=True):
        check_ranges(_with_sizes(of_file, sizes[0], sizes[1], path), str(path))


def _with_sizes(
    links: Iterable[LinkSets], sources: Iterable[int], targets: Iterable[int], path: Path
) -> Iterator[tuple[LinkSets, int, int]]:
    for of_line, source, target in zip_longest(links, sources, targets):
        if of_line is None or source is None or target is None:
            raise InvalidInput(
                f"{path} and the two texts are not equally long; expected a line for each sentence pair."
            )
        yield of_line, source, target


def _word_counts(path: Path) -> Iterator[int]:
    from normlens.alignment.subwords import split_words

    try:
        refuse_unreadable(path)
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                yield len(split_words(line))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def _table(found: Evaluation) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "%", "95 % interval"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in ("aer", "precision", "recall"):
        low, high = getattr(found, f"{name}_interval")
        interval = "–" if low != low else f"{100 * low:.1f} to {100 * high:.1f}"
        value = getattr(found, name)
        table.add_row("AER" if name == "aer" else name, "–" if value != value else f"{100 * value:.1f}", interval)
    return table
