"""Tiny random models seen through a lens, shared by the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from architectures import tiny
from fewer_digits import SETTINGS, FewerDigits
from slow import is_slow
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import Punctuation, Sequence, WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

import normlens
from normlens.loading.load import LoadedModel, load_model

MakeLens = Callable[..., normlens.Lens]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make quick` leaves out."""
    for item in items:
        if is_slow(item.nodeid):
            item.add_marker("slow")


@pytest.fixture(autouse=True, scope="session")
def quiet_transformers() -> Iterator[None]:
    """No warnings about tiny configurations; one thread, as with several test processes side by side."""
    level, threads = logging.get_verbosity(), torch.get_num_threads()
    logging.set_verbosity_error()
    torch.set_num_threads(1)
    yield
    logging.set_verbosity(level)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def lens_of() -> MakeLens:
    """Lenses on tiny models by model type and dtype; token ids in, no tokenizer."""

    @cache
    def make(model_type: str, dtype: torch.dtype = torch.float32) -> normlens.Lens:
        return normlens.load((tiny.build(model_type, dtype=dtype), None))

    return make


@pytest.fixture(scope="session")
def smollm2() -> Iterator[LoadedModel]:
    """SmolLM2, loaded once for all tests of a process; who changes the model takes a copy."""
    loaded = load_model("smollm2-135m")
    before = _fingerprint(loaded)
    yield loaded
    assert _fingerprint(loaded) == before, "a test changed the model that all tests share; let it take a copy"


def _fingerprint(loaded: LoadedModel) -> tuple[object, ...]:
    """Weights, settings and mode of a model, as far as tests change them."""
    model = loaded.model
    sums = tuple(float(weight.detach().sum(dtype=torch.float64)) for weight in model.parameters())
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
    return sums, hooks, model.training, model.config.to_json_string(), model.generation_config.to_json_string()


@pytest.fixture(params=SETTINGS)
def fewer_digits(request: pytest.FixtureRequest) -> FewerDigits:
    """A context in which torch computes float32 with fewer digits, as it was told to outside of normlens."""
    setting: FewerDigits = request.param
    return setting


@pytest.fixture
def tokens() -> Callable[[int, int], list[int]]:
    """Random token ids of this length and seed, none of them special."""

    def draw(length: int, seed: int = 0) -> list[int]:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(10, 89, (length,), generator=generator).tolist()

    return draw


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Words, sub-words (``##``) and punctuation between [CLS] and [SEP], for models with 99 embeddings."""
    words = ["the", "a", "cat", "dog", "sat", "ran", "here", "un", "##happi", "##ness", "##s", "is", "Paris", "."]
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {token: number for number, token in enumerate([*specials, *words, ","])}
    wordpiece = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    wordpiece.pre_tokenizer = Sequence([WhitespaceSplit(), Punctuation()])
    wordpiece.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=wordpiece, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture(scope="session")
def reader(tokenizer: PreTrainedTokenizerFast) -> normlens.Lens:
    """A lens on a tiny BERT that reads text."""
    return normlens.load((tiny.build("bert"), tokenizer))
