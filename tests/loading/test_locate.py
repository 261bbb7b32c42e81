"""What a name or a path means, decided before anything is opened."""

from pathlib import Path

import pytest

from normlens.errors import InvalidInput, ModelNotFound
from normlens.loading.load import load_model
from normlens.loading.locate import ModelLocation, locate_model


def test_each_kind_of_place(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").touch()
    (tmp_path / "tiny.gguf").touch()
    folder = str(tmp_path)
    assert locate_model(folder, None) == ModelLocation(folder, folder)
    assert locate_model(tmp_path / "tiny.gguf", None) == ModelLocation(f"{folder}/tiny.gguf", folder, "tiny.gguf")
    assert locate_model("owner/model", "v1") == ModelLocation("owner/model", "owner/model", revision="v1")
    assert locate_model("owner/model", None).is_hub
    assert not locate_model(folder, None).is_hub


def test_missing_path_is_named() -> None:
    with pytest.raises(ModelNotFound, match=r"no file or folder \./nowhere"):
        load_model("./nowhere")
    with pytest.raises(ModelNotFound, match=r"no file or folder nowhere\.gguf"):
        load_model("nowhere.gguf")


def test_folder_without_a_model_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"no config\.json.*It contains: nothing"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNotFound, match=r"no \*\.safetensors.*It contains: config\.json"):
        load_model(tmp_path)
    (tmp_path / "tiny.gguf").touch()
    with pytest.raises(ModelNotFound, match=r"tiny\.gguf"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "near"), [("minilm", "minilm-l6"), ("smolm2-135", "smollm2-135m"), ("gpt2", "openai-community/gpt2")]
)
def test_unknown_name_lists_near_matches(name: str, near: str) -> None:
    with pytest.raises(ModelNotFound, match=f"Did you mean {near}"):
        load_model(name)


def test_a_revision_of_what_is_not_on_the_hub_is_refused(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "tiny.gguf"):
        (tmp_path / name).touch()
    for source in ("minilm-l6", "smollm2-135m", tmp_path, tmp_path / "tiny.gguf", (None, None)):
        with pytest.raises(InvalidInput, match=r"has no revisions, but 'v1' was requested.*Omit the revision"):
            load_model(source, revision="v1")  # type: ignore[arg-type]
