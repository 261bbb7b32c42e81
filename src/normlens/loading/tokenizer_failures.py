"""Failures inside the tokenizers library, some of which ``except Exception`` doesn't catch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from normlens.errors import InvalidInput


def is_library_failure(error: BaseException) -> bool:
    """Whether an exception comes from the tokenizers library: a plain Exception, or the panic of its Rust code.

    The class of a panic can't be imported, so its name is compared.
    """
    return type(error) is Exception or type(error).__name__ == "PanicException"


@contextmanager
def library_explained(name: str) -> Iterator[None]:
    """Turn a failure inside the tokenizers library into one that names the tokenizer's model; other errors pass through.

    Raises
    ------
    InvalidInput
        If the library's code fails.
    """
    try:
        yield
    except BaseException as error:
        if not is_library_failure(error):
            raise
        raise InvalidInput(
            f"The tokenizer of {name} fails inside the tokenizers library ({error}). Its steps don't fit together. Pass "
            "token ids, or another tokenizer: (model, tokenizer)."
        ) from error
