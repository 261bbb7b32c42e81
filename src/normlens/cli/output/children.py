"""``normlens transfer``: children of a translation model, opened, and their translations on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from normlens.cli.opening import open_lens, quiet
from normlens.cli.output.translations import report_truncated
from normlens.cli.terminal import messages
from normlens.files.atomic import write_atomically

if TYPE_CHECKING:
    from normlens.translation.translator import Translator


def child(parent: str, delta: Path, source: Path | None, device: str | None) -> Translator:
    """A translator of a child, or of two children stitched."""
    lens = open_lens(parent, dtype="float32", device=device)
    with quiet():
        from normlens.transfer import child_translator

        return child_translator(lens, delta, source=source)


def of_parent(parent: str, delta: Path, device: str | None) -> Translator:
    """A translator of the parent's own pair by a child's body."""
    lens = open_lens(parent, dtype="float32", device=device)
    with quiet():
        from normlens.transfer import parent_translator

        return parent_translator(lens, delta)


def print_translations(translations: Sequence[str], truncated: int, output: Path | None) -> None:
    """Write translations into a file, or print them, one per line."""
    report_truncated(truncated)
    if output is None:
        for text in translations:
            typer.echo(text)
        return
    write_atomically(output, "".join(f"{text}\n" for text in translations))
    messages().print(f"Wrote {output}", markup=False, soft_wrap=True)
