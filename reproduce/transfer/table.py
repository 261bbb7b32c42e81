"""Cross-attention transfer (Gheini et al. 2021): what a child must train, what it forgets, and which pairs come for free.

``python -m reproduce transfer --data DATA --work FOLDER``. A parent translates from French to English; its children
translate from German, each in one setting. FOLDER keeps texts and models; a killed run resumes, and parts that are kept
aren't measured again.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from normlens import NormLensError, transfer
from normlens.translation import score
from normlens.translation.vocabulary import sentence_pieces
from reproduce.study.kept import kept, numbers_of, rounded
from reproduce.study.options import add_data, run_study, study_parser
from reproduce.transfer.family import Family
from reproduce.transfer.measurements import RESAMPLES, alignment, dictionary, looked_up
from reproduce.transfer.page import draw, page
from reproduce.transfer.translations import Translations, counts, difference

NAME = "transfer"
SETTINGS = ("src+xattn", "src+body", "src", "scratch", "src+randxattn", "src+selfattn", "src+norms", "src+lora")
SEEDS = (1, 2, 3)
_PROPOSED = "src+xattn"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the settings and seeds named on the command line, keep the numbers, and write page and figure.

    Returns
    -------
    int
        Exit status: 2 after an error, which is printed.
    """
    parser = study_parser(__doc__)
    add_data(parser, "multi30k")
    parser.add_argument("--work", type=Path, help="folder for texts and models")
    parser.add_argument(
        "--settings", nargs="+", default=SETTINGS, help="settings of transfer (default: all of the study)"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, help="random seeds (default: %(default)s)")
    return run_study(NAME, parser, arguments, _measured, page, draw)


def _measured(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    if options.work is None:
        raise NormLensError("Name a folder for texts and models with --work.")
    family, done = Family(options.data / "multi30k", options.work), kept(numbers_of(NAME, options.output))
    translations = Translations(family)
    if "parent" not in done:
        yield "parent", rounded(of_parent(family, translations))
    for seed in options.seeds:
        for setting in options.settings:
            if f"{setting}, seed {seed}" not in done:
                yield f"{setting}, seed {seed}", rounded(of_child(family, translations, setting, seed))
        if f"zero-shot, seed {seed}" not in done:
            yield f"zero-shot, seed {seed}", rounded(zero_shot(family, translations, seed, options.settings))
    yield "differences", rounded(differences(family, translations, options.settings, options.seeds))


def of_parent(family: Family, translations: Translations) -> dict[str, Any]:
    """The parent: quality, size, and alignment."""
    return {
        **score(translations.by_parent(), family.test("en")[1]).as_data(),
        "alignment": alignment(family, family.work / "parent" / "fr-en", "fr"),
        "parameters": family.parent.model.num_parameters(),
        "bytes": 4 * family.parent.model.num_parameters(),
    }  # fmt: skip


def of_child(family: Family, translations: Translations, setting: str, seed: int) -> dict[str, Any]:
    """A child: quality, size, what it has forgotten, the dictionary in its embeddings, and its alignment."""
    delta = family.child(setting, seed)
    pieces = sentence_pieces(delta.folder / "vocabulary.spm")
    names = {pieces.id_to_piece(k): k for k in range(len(pieces))}
    model = transfer.child_translator(family.parent, delta.folder).model
    embeddings = model.get_encoder().get_input_embeddings().weight.detach().numpy()
    complete = family.work / f"complete-{setting.replace('+', '-')}-{seed}"
    if not complete.exists():
        transfer.merge(family.parent, delta.folder, complete)
    aligned = alignment(family, complete, "de")
    shutil.rmtree(complete)
    references = family.test("en")[1]
    return {
        "setting": setting, "seed": seed, **score(translations.by_child(setting, seed), references).as_data(),
        "bytes": delta.bytes,
        **{name: delta.training[name] for name in ("trained", "parameters", "dev_loss", "cpu_seconds", "steps")},
        "forgotten": score(translations.by_changed_body(setting, seed), references).bleu,
        "dictionary": looked_up(family, names, embeddings, dictionary(family, "de", "fr")), "alignment": aligned,
    }  # fmt: skip


def zero_shot(family: Family, translations: Translations, seed: int, settings: Sequence[str]) -> dict[str, Any]:
    """German to French by the embeddings of each child in the body that restores French: nobody saw this pair."""
    references = family.test("fr")[1]
    rows = {setting: score(translations.zero_shot(setting, seed), references).as_data() for setting in settings}
    return {"seed": seed, "rows": rows, "restored": score(translations.restored(seed), references).as_data()}


def differences(
    family: Family, translations: Translations, settings: Sequence[str], seeds: Sequence[int]
) -> dict[str, Any]:
    """BLEU of the setting of the paper minus that of each other one: of German, of the parent's pair, and zero-shot."""
    kinds = {
        "child": ("en", translations.by_child), "forgotten": ("en", translations.by_changed_body),
        "zero_shot": ("fr", translations.zero_shot),
    }  # fmt: skip
    rows: dict[str, Any] = {}
    for kind, (language, translated) in kinds.items():
        references = family.test(language)[1]
        of = {name: [counts(translated(name, seed), references) for seed in seeds] for name in settings}
        rows[kind] = {
            name: difference(of[_PROPOSED], of[name], RESAMPLES)
            for name in settings
            if _PROPOSED in of and name != _PROPOSED
        }
    return {"of": _PROPOSED, "seeds": list(seeds), "rows": rows}
