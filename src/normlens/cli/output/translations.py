"""``normlens translation evaluate``: the test set, progress, and the scores on the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from normlens.cli.destinations import check_files
from normlens.cli.opening import quiet
from normlens.cli.output.json_text import json_text
from normlens.cli.terminal import counted, counting, messages, results, waiting
from normlens.errors import InvalidInput
from normlens.files.atomic import write_atomically

if TYPE_CHECKING:
    from normlens.translation import TranslatedText


def check(output: Path | None, reads: Iterable[Path | str | None], *, overwrite: bool) -> None:
    """Refuse a file that can't be written, before anything is computed."""
    check_files(output, reads=reads, overwrite=overwrite)


def read(source: Path, target: Path | None) -> tuple[list[str], list[str]]:
    """The sentences and references of a test set.

    Raises
    ------
    InvalidInput
        If it can't be read, or a line lacks a side.
    """
    from normlens.bitext.corpora import ParallelFiles

    if str(source) == "-":
        raise InvalidInput("Standard input can be read only once. Pass a file.")
    lines = list(ParallelFiles(source, target))
    for line in lines:
        if line.problem is not None:
            raise InvalidInput(f"{source}, line {line.number}: {line.problem}. Correct or remove it.")
    return [line.source for line in lines], [line.target for line in lines]


def evaluated(model: str, texts: tuple[list[str], list[str]], **options: Any) -> TranslatedText:
    """Translate and score a test set, showing how far it is."""
    with waiting(f"Loading {model}"), quiet():
        from normlens.translation import evaluate
    with quiet(), counting("Translating", len(texts[0])) as progress:
        return evaluate(
            model, *texts, progress=lambda number: progress.advance(progress.task_ids[0], number), **options
        )


def give(result: TranslatedText, output: Path | None, as_json: bool) -> None:
    """Write the translations, and print the scores with their signatures."""
    if output is not None:
        write_atomically(output, "".join(f"{text}\n" for text in result.translations))
        messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
    if result.truncated:
        cut = counted(result.truncated, "sentence")
        messages().print(f"{cut} too long for the model; the end was cut off.", markup=False, soft_wrap=True)
    scores = result.scores
    if as_json:
        typer.echo(json_text({**scores.as_data(), "truncated": result.truncated}))
        return
    for name, value, signature in (
        ("BLEU", scores.bleu, scores.bleu_signature),
        ("chrF", scores.chrf, scores.chrf_signature),
    ):
        results().print(f"{name} {value:.1f}  {signature}", markup=False, soft_wrap=True)
