"""``normlens align``: link the words of a text with those of its translation."""

from __future__ import annotations

from normlens.cli.commands import align_options as options
from normlens.cli.options import (
    AttentionScope,
    BatchSize,
    Device,
    Dtype,
    Measure,
    Overwrite,
    Revision,
    TrustRemoteCode,
)
from normlens.cli.terminal import starting
from normlens.errors import InvalidInput


def align(
    source: options.SourceFile,
    target: options.TranslationFile = None,
    model: options.Translator = None,
    reverse_model: options.ReverseTranslator = None,
    source_language: options.SourceLanguage = None,
    target_language: options.TargetLanguage = None,
    measure: options.MeasureRead = Measure.norm,
    layer: options.LayerRead = "auto",
    symmetrize: options.Symmetrize = None,
    threshold: options.Threshold = 0.0,
    tokenize: options.Tokenize = None,
    output: options.LinksFile = None,
    form: options.LinksFormat = options.Format.pharaoh,
    view: options.PageFile = None,
    overwrite: Overwrite = False,
    scope: options.ScopeRead = AttentionScope.attention,
    setting: options.SettingRead = options.Setting.awi,
    rule: options.Rule = None,
    head: options.HeadRead = None,
    balance: options.Balance = 0.0,
    base: options.FirstNumber = 0,
    lowercase: options.Lowercase = False,
    source_prefix: options.SourcePrefix = "",
    batch_size: BatchSize = 32,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Link the words of a text with those of its translation.

    Writes one line per sentence pair, such as [bold]0-0 1-2[/bold]. A pair that can't be aligned gets an empty line, and the
    reason goes to standard error.

    [bold]Examples[/bold]

    - [cyan]normlens align text.de text.en > links.txt[/cyan]

    - [cyan]normlens align text.de text.en --model Helsinki-NLP/opus-mt-de-en > links.txt[/cyan]

    - [cyan]normlens align raw.de raw.en --tokenize de-en --format json > links.jsonl[/cyan]

    - [cyan]normlens align pairs.tsv --model de-en --reverse-model en-de --format json -o links.jsonl[/cyan]
    """
    numbers = _layers(layer, setting)
    with starting():
        from normlens.cli.commands.align_inputs import ParallelTexts, Translators
        from normlens.cli.output.aligned import LinksOutput, write

    texts, result = ParallelTexts.opened(source, target, tokenize), LinksOutput(output, form.value, base, view)
    settings: dict[str, object] = {
        "threshold": threshold, "balance": balance, "format": form.value, "first word": base, "lowercase": lowercase,
        "tokenize": tokenize,
        "languages": [source_language, target_language], "prefix": source_prefix, "text": list(texts.fingerprint),
    }  # fmt: skip
    reads = [source, target, model, reverse_model]
    result.check(settings, reads, resumable=texts.number is not None, overwrite=overwrite)
    with starting():
        from normlens.alignment import Aligner, Reading

    first, second = numbers or (0, 0)
    beside = Reading(second, measure.value, scope.value, "awo", head) if setting is options.Setting.both else None
    reading = Reading(
        first, measure.value, scope.value, "awo" if setting is options.Setting.awo else "awi", head, beside
    )
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
    readings, lines = models.readings(
        reading, texts.lines, None if rule is None else rule.value, choose=numbers is None
    )
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
    write(aligner, lines, texts, result, settings, overwrite=overwrite)


def _layers(named: str, setting: options.Setting) -> tuple[int, int] | None:
    """The numbers of the layers for AWI and AWO; None for auto."""
    if named == "auto":
        return None
    numbers = named.split(",")
    most = 2 if setting is options.Setting.both else 1
    if len(numbers) > most or not all(number.strip().isdecimal() for number in numbers):
        raise InvalidInput(
            f"--layer is {named!r}; expected auto, or the number of a layer, from 0; with --setting both also two, such as "
            "0,2, for AWI and for AWO."
        )
    return int(numbers[0]), int(numbers[-1])
