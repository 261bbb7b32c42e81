"""``normlens align``: the words of a text and its translation, linked."""

from __future__ import annotations

from normlens.cli.commands import align_options as given
from normlens.cli.options import AttentionScope, Device, Dtype, Revision, TrustRemoteCode
from normlens.cli.terminal import starting
from normlens.errors import InvalidInput


def align(
    source: given.SourceFile,
    target: given.TranslationFile = None,
    model: given.Translator = None,
    reverse_model: given.ReverseTranslator = None,
    measure: given.MeasureRead = given.Measure.norm,
    scope: given.ScopeRead = AttentionScope.attention,
    setting: given.SettingRead = given.Setting.awi,
    layer: given.LayerRead = "auto",
    rule: given.Rule = None,
    head: given.HeadRead = None,
    symmetrise: given.Symmetrise = None,
    threshold: given.Threshold = 0.0,
    balance: given.Balance = 0.0,
    output: given.LinksFile = None,
    form: given.LinksFormat = given.Format.pharaoh,
    base: given.FirstNumber = 0,
    view: given.PageFile = None,
    overwrite: given.Overwrite = False,
    tokenize: given.Tokenize = None,
    lowercase: given.Lowercase = False,
    source_language: given.SourceLanguage = None,
    target_language: given.TargetLanguage = None,
    source_prefix: given.SourcePrefix = "",
    batch_size: given.PairsTogether = 32,
    device: Device = None,
    dtype: Dtype = None,
    revision: Revision = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Link the words of a text with those of its translation.

    Writes one line per sentence pair, such as [bold]0-0 1-2[/bold]; a pair that can't be aligned gets an empty line and is
    named on standard error.

    [bold]Examples[/bold]

    - [cyan]normlens align text.de text.en > links.txt[/cyan]

    - [cyan]normlens align text.de text.en --model Helsinki-NLP/opus-mt-de-en > links.txt[/cyan]

    - [cyan]normlens align raw.de raw.en --tokenize de-en --format json > links.jsonl[/cyan]

    - [cyan]normlens align pairs.tsv -m de-en --reverse-model en-de --format json -o links.jsonl[/cyan]
    """
    numbers = _layers(layer, setting)
    from normlens.cli.output.align import Models, Result, Texts, write

    texts, result = Texts.opened(source, target, tokenize), Result(output, form.value, base, view)
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
    beside = Reading(second, measure.value, scope.value, "awo", head) if setting is given.Setting.both else None
    reading = Reading(first, measure.value, scope.value, "awo" if setting is given.Setting.awo else "awi", head, beside)
    models = Models.opened(
        model,
        reverse_model,
        opening={"device": device, "dtype": dtype, "revision": revision, "trust_remote_code": trust_remote_code},
        languages=(source_language, target_language),
        source_prefix=source_prefix,
        reading={"lowercase": lowercase, "batch_size": batch_size},
        readings=reading.parts,
    )
    way = models.way(None if symmetrise is None else symmetrise.value)
    readings, lines = models.readings(
        reading, texts.lines, None if rule is None else rule.value, choose=numbers is None
    )
    aligner = Aligner(
        models.forward, readings[0], models.reverse, readings[1], symmetrise=way, threshold=threshold, balance=balance
    )
    settings |= {
        "models": models.fingerprints, "readings": [str(one) for one in readings], "symmetrisation": way,
    }  # fmt: skip
    write(aligner, lines, texts, result, settings, overwrite=overwrite)


def _layers(named: str, setting: given.Setting) -> tuple[int, int] | None:
    """The numbers of the layers for AWI and AWO; None for auto."""
    if named == "auto":
        return None
    numbers = named.split(",")
    most = 2 if setting is given.Setting.both else 1
    if len(numbers) > most or not all(number.strip().isdecimal() for number in numbers):
        raise InvalidInput(
            f"--layer is {named!r}; expected auto, or the number of a layer, from 0; with --setting both also two, such as "
            "0,2, for AWI and for AWO."
        )
    return int(numbers[0]), int(numbers[-1])
