"""``normlens aer``: evaluate links against annotated ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normlens.cli.options import GoldBase, Json
from normlens.cli.output.error_rates import give
from normlens.cli.terminal import messages, starting
from normlens.cli.text_files import unreadable
from normlens.errors import InvalidInput
from normlens.files.reading import refuse_unreadable

if TYPE_CHECKING:
    from normlens.alignment import LinkFile, LinkSets

_TEXTS = "Check links against the texts"


def aer(
    gold: Annotated[
        Path,
        typer.Argument(
            metavar="GOLD",
            help="Annotated links, such as 3-4 (sure) and 3p4 (possible); or the NAACL format, .wa.",
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
    gold_base: GoldBase = 1,
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
    """Compute alignment error rate, precision and recall, with 95 % bootstrap intervals over sentence pairs.

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
    evaluations = [evaluate(annotated, links) for links in alignments]
    give(evaluations, None if other is None else difference(annotated, *alignments), files, as_json)


def _read(files: Sequence[LinkFile]) -> list[list[LinkSets]]:
    """The links of every file, equally long; pairs that are missing in the annotated file are reported."""
    from normlens.alignment import LinkSets

    lengths = [len(file.read()) for file in files if not file.names_pairs]
    links = [file.read(max(lengths, default=None)) for file in files]
    pairs = max(map(len, links))
    if files[0].names_pairs and not lengths:
        links = [of_file + [LinkSets.from_links(())] * (pairs - len(of_file)) for of_file in links]
    empty = sum(not of_pair.possible for of_pair in links[0])
    if files[0].names_pairs and empty:
        messages().print(
            f"{files[0].path} names {len(links[0]) - empty} of {len(links[0])} sentence pairs; the others count as having "
            "no links.", markup=False, soft_wrap=True,
        )  # fmt: skip
    return links


def _check_words(files: list[list[LinkSets]], source: Path, target: Path, names: list[Path]) -> None:
    from normlens.bitext.formats import check_ranges

    sizes = [list(_word_counts(path)) for path in (source, target)]
    for path, of_file in zip(names, files, strict=True):
        check_ranges(_with_sizes(of_file, sizes[0], sizes[1], path), str(path))


def _with_sizes(
    links: Iterable[LinkSets], sources: Iterable[int], targets: Iterable[int], path: Path
) -> Iterator[tuple[LinkSets, int, int]]:
    for of_line, source, target in zip_longest(links, sources, targets):
        if of_line is None or source is None or target is None:
            raise InvalidInput(
                f"{path} and the two texts differ in length; expected one line per sentence pair in each."
            )
        yield of_line, source, target


def _word_counts(path: Path) -> Iterator[int]:
    from normlens.bitext.raw_text import split_words

    try:
        refuse_unreadable(path)
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                yield len(split_words(line))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
