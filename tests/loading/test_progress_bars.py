"""Models are read from this machine without a word; the caller's settings are as before."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures import tiny
from transformers.utils import logging

import normlens
from normlens.loading.progress_bars import without_bars


def test_a_folder_is_read_without_a_word(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tiny.build("bert").save_pretrained(tmp_path)
    capfd.readouterr()
    logging.enable_progress_bar()
    normlens.load(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()


@pytest.mark.real_model
def test_a_gguf_file_is_read_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    logging.enable_progress_bar()
    normlens.load("smollm2-135m")
    assert capfd.readouterr() == ("", "")


def test_bars_stay_as_the_caller_wants_them() -> None:
    logging.enable_progress_bar()
    with without_bars(False), without_bars(False):
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled()
    with without_bars(True):
        assert logging.is_progress_bar_enabled()  # a download takes time
    logging.disable_progress_bar()
    try:
        with without_bars(False):
            pass
        assert not logging.is_progress_bar_enabled()
    finally:
        logging.enable_progress_bar()
