"""``normlens align``: link the words of a text with those of its translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normlens.cli import language_pairs, options
from normlens.cli.choices import GuidingAligner, Measure, Scope
from normlens.cli.commands import align_options
from normlens.cli.commands.align_options import Format, Setting
from normlens.cli.terminal import starting

if TYPE_CHECKING:
    from normlens.alignment import Reading


def align(
    source_file: align_options.SourceFile,
    target_file: language_pairs.TargetFile = None,
    model: align_options.Translator = None,
    reverse_model: language_pairs.ReverseTranslator = None,
    fit: align_options.FitFolder = None,
    source_language: language_pairs.SourceLanguage = None,
    target_language: language_pairs.TargetLanguage = None,
    measure: options.AlignedBy = Measure.norm,
    layer: options.AlignedLayer = None,
    symmetrize: align_options.Symmetrize = None,
    threshold: align_options.Threshold = 0.0,
    tokenize: language_pairs.Tokenize = None,
    output: options.LinksFile = None,
    form: align_options.LinksFormat = Format.pharaoh,
    view: align_options.PageFile = None,
    overwrite: options.Overwrite = False,
    scope: options.AttentionScope = Scope.attention,
    setting: align_options.SettingRead = Setting.awi,
    awo_layer: align_options.AwoLayer = None,
    rule: align_options.Rule = None,
    head: options.AdvancedHead = None,
    balance: align_options.Balance = 0.0,
    base: align_options.FirstNumber = 0,
    lowercase: language_pairs.Lowercase = False,
    source_prefix: align_options.SourcePrefix = "",
    guide: language_pairs.GuidedBy = None,
    more_text: language_pairs.MoreText = None,
    recipe: language_pairs.RecipeSettings = None,
    batch_size: options.BatchSize = 32,
    device: options.Device = None,
    dtype: options.Dtype = None,
    revision: options.Revision = None,
    trust_remote_code: options.TrustRemoteCode = False,
) -> None:
    """Link the words of a text with those of its translation.

    Writes one line per sentence pair, such as [bold]0-0 1-2[/bold]. A pair that can't be aligned gets an empty line, and the
    reason goes to standard error.

    [bold]Examples[/bold]

    - [cyan]normlens align text.de text.en > links.txt[/cyan]

    - [cyan]normlens align text.de text.fr --fit models > links.txt[/cyan]

    - [cyan]normlens align text.de text.en --model Helsinki-NLP/opus-mt-de-en > links.txt[/cyan]

    - [cyan]normlens align raw.de raw.en --tokenize de-en --format json > links.jsonl[/cyan]

    - [cyan]normlens align pairs.tsv --model de-en --reverse-model en-de --format json -o links.jsonl[/cyan]
    """
    with starting():
        from normlens.cli.commands.align_fit import Fitting
        from normlens.cli.commands.align_inputs import ParallelTexts, Translators
        from normlens.cli.output.aligned import LinksOutput, write

    texts, result = (
        ParallelTexts.opened(source_file, target_file, tokenize),
        LinksOutput(output, form.value, base, view),
    )
    settings: dict[str, object] = {
        "threshold": threshold, "balance": balance, "format": form.value, "first word": base, "lowercase": lowercase,
        "tokenize": tokenize,
        "languages": [source_language, target_language], "prefix": source_prefix, "text": list(texts.fingerprint),
    }  # fmt: skip
    reads = [source_file, target_file, model, reverse_model]
    result.check(settings, reads, resumable=texts.number is not None, overwrite=overwrite)
    with starting():
        from normlens.alignment import Aligner
        from normlens.alignment.aligner import WINDOW

    if fit is not None:
        fitting = Fitting.planned(source_file, target_file, more_text, tokenize, (source_language, target_language))
        trained = fitting.train(fit, guide or GuidingAligner.eflomal, recipe, device)
        model, reverse_model = str(trained.forward), str(trained.reverse)
        layer = fitting.layer(guide or GuidingAligner.eflomal, layer, rule, setting)
        source_language = target_language = None
    reading = _reading(measure, scope, setting, layer or 0, awo_layer, head)
    models = Translators.opened(
        model,
        reverse_model,
        opening={"device": device, "dtype": dtype, "revision": revision, "trust_remote_code": trust_remote_code},
        languages=(source_language, target_language),
        source_prefix=source_prefix,
        reading={"lowercase": lowercase, "batch_size": batch_size},
        readings=reading.components,
    )
    symmetrization = models.symmetrization(None if symmetrize is None else symmetrize.value)
    readings, lines = models.readings(reading, texts.lines, None if rule is None else rule.value, choose=layer is None)
    aligner = Aligner(
        models.forward,
        readings[0],
        models.reverse,
        readings[1],
        symmetrize=symmetrization,
        threshold=threshold,
        balance=balance,
    )
    settings |= {
        "models": models.fingerprints, "readings": [str(one) for one in readings], "symmetrization": symmetrization,
    }  # fmt: skip
    write(aligner, lines, texts, result, settings, WINDOW * batch_size, overwrite)


def _reading(
    measure: Measure, scope: Scope, setting: Setting, layer: int, awo_layer: int | None, head: int | None
) -> Reading:
    """What is read of the cross-attention; both settings are two readings beside each other."""
    from normlens.alignment import Reading

    read = measure.value, scope.value
    beside = None
    if setting is Setting.both:
        beside = Reading(layer if awo_layer is None else awo_layer, *read, "awo", head)  # type: ignore[arg-type]
    return Reading(layer, *read, "awo" if setting is Setting.awo else "awi", head, beside)  # type: ignore[arg-type]
