"""The two languages of a multilingual tokenizer."""

from __future__ import annotations

from typing import Any

from normlens.errors import InvalidInput


def set_languages(tokenizer: Any, source: str | None, target: str | None) -> None:
    """Set the two languages of a multilingual tokenizer.

    Parameters
    ----------
    tokenizer
        Such as that of M2M-100, NLLB or mBART.
    source, target
        As the tokenizer spells them ("de", "deu_Latn", "de_DE"); None leaves the current setting.

    Raises
    ------
    InvalidInput
        If the tokenizer has no languages, or not this one.
    """
    for name, language in (("src_lang", source), ("tgt_lang", target)):
        if language is None:
            continue
        if not hasattr(tokenizer, name):
            raise InvalidInput(
                f"Got the language {language!r}, but {type(tokenizer).__name__} has no languages. Leave it out."
            )
        try:
            setattr(tokenizer, name, language)
            tokenizer(**{"text" if name == "src_lang" else "text_target": ""}, verbose=False)  # some refuse it only now
        except (KeyError, ValueError) as error:
            raise InvalidInput(
                f"{type(tokenizer).__name__} doesn't have the language {language!r}; its codes look like "
                f"{', '.join(map(str, list(getattr(tokenizer, 'additional_special_tokens', []))[:3]))}."
            ) from error
