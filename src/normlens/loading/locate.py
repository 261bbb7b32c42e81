"""Locate a model's files from a name, a path or a hub id, or explain why they can't be used.

This is decided before any file is opened, so that a pickle is refused without being read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import transformers
from huggingface_hub import constants

from normlens.errors import InvalidInput, ModelNotFound, NormLensError, install_command
from normlens.loading import adapters
from normlens.loading.catalog import HUB_EXAMPLES, NAMED

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_TO_SAFETENSORS = (
    "If you trust these weights, convert them once where it is safe to open them: "
    "AutoModel.from_pretrained(..., use_safetensors=False).save_pretrained('safe-folder')."
)


@dataclass(frozen=True)
class ModelLocation:
    """Where the files of a model are.

    Attributes
    ----------
    name
        The name that the caller used.
    path_or_id
        A folder, or a hub id.
    gguf_file
        Name of the GGUF file in that folder; None if the weights are safetensors.
    revision
        Branch, tag or commit on the Hub; None for the default branch, and for files that are not on the Hub.
    is_adapter
        Whether the folder holds only an adapter, without its base model.
    """

    name: str
    path_or_id: str
    gguf_file: str | None = None
    revision: str | None = None
    is_adapter: bool = False

    @property
    def is_hub(self) -> bool:
        """Whether the files come from the Hub or its local cache."""
        return not Path(self.path_or_id).is_dir()


def locate_model(source: str | Path, revision: str | None) -> ModelLocation:
    """Locate the model that ``source`` names, from the most specific interpretation to the least.

    Raises
    ------
    ModelNotFound
        If the model doesn't exist, or can't be loaded safely.
    InvalidInput
        If there is a revision for a model that is not on the Hub.
    """
    text = str(source)
    if text in NAMED and not isinstance(source, Path):
        refuse_revision(f"The bundled model {text}", revision)
        path = NAMED[text].require()
        return ModelLocation(text, str(path)) if path.is_dir() else ModelLocation(text, str(path.parent), path.name)
    path = Path(source).expanduser()
    if path.is_dir():
        refuse_revision(f"The folder {text}", revision)
        if (path / adapters.CONFIG).is_file():
            return ModelLocation(text, str(path), is_adapter=True)
        _check_folder(path)
        return ModelLocation(text, str(path))
    if path.is_file():
        if path.suffix.lower() == ".gguf":
            refuse_revision(f"The file {text}", revision)
            return ModelLocation(text, str(path.parent), path.name)
        advice = _TO_SAFETENSORS if path.suffix in _PICKLES else "Pass the folder that holds its config.json."
        raise ModelNotFound(f"{text} is not a GGUF file, the only single file that can be loaded. {advice}")
    if isinstance(source, Path) or text.startswith((".", "/", "~")) or text.endswith(".gguf") or text.count("/") > 1:
        raise ModelNotFound(f"There is no file or folder {text} (looked for {path.absolute()}). Check the path.")
    if "/" not in text:
        raise ModelNotFound(_unknown_name(text))
    return ModelLocation(text, text, revision=revision)


def refuse_revision(what: str, revision: str | None) -> None:
    """Refuse a revision for a model that is not on the Hub; ``what`` names the model.

    Raises
    ------
    InvalidInput
        If ``revision`` is not None.
    """
    if revision is not None:
        raise InvalidInput(
            f"{what} has no revisions, but {revision!r} was requested; revisions need a hub id, such as "
            "google-bert/bert-base-uncased. Omit the revision."
        )


def _unknown_name(name: str) -> str:
    by_name = {model.rpartition("/")[2]: model for model in (*NAMED, *HUB_EXAMPLES)}
    near = [by_name[match] for match in difflib.get_close_matches(name, by_name, n=3, cutoff=0.5)]
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return (
        f"There is no bundled model {name!r} and no such folder.{guess} Bundled models: {', '.join(NAMED)}. A model on "
        "the Hub needs its owner's name, as in google-bert/bert-base-uncased."
    )


def _check_folder(folder: Path) -> None:
    """Refuse a folder without a model, or with pickled weights only."""
    names = sorted(path.name for path in folder.iterdir())
    if any(name.endswith(".safetensors") for name in names) and "config.json" in names:
        return
    ggufs = [name for name in names if name.endswith(".gguf")]
    pickles = [name for name in names if name.endswith(_PICKLES)]
    if ggufs:
        raise ModelNotFound(f"{folder} holds GGUF files. Pass one of them, for example {folder / ggufs[0]}.")
    if pickles and not any(name.endswith(".safetensors") for name in names):
        raise ModelNotFound(
            f"{folder} has only pickled weights ({', '.join(pickles[:3])}), and opening a pickle can run arbitrary "
            f"code; expected safetensors. {_TO_SAFETENSORS}"
        )
    missing = "config.json" if "config.json" not in names else "*.safetensors"
    raise ModelNotFound(
        f"{folder} has no {missing}; expected a folder written by save_pretrained. It contains: "
        f"{', '.join(names[:6]) or 'nothing'}."
    )


@contextmanager
def explained(location: ModelLocation, trust_remote_code: bool) -> Iterator[None]:
    """Turn any exception of transformers into an error that says what was tried and what to do."""
    try:
        yield
    except NormLensError:
        raise
    except Exception as error:
        raise _error(location, trust_remote_code, error) from error


def _error(location: ModelLocation, trust_remote_code: bool, error: Exception) -> NormLensError:
    reason = first_line(error)
    if isinstance(error, ImportError):
        return InvalidInput(_needs_package(location.name, str(error)))
    if "trust_remote_code" in str(error) and not trust_remote_code:
        return ModelNotFound(
            f"{location.name} can only be loaded by running Python code from its own repository. If you have read that "
            "code and trust it, pass trust_remote_code=True."
        )
    if "use_safetensors" in str(error):
        return ModelNotFound(
            f"{location.name} has no safetensors weights, and a pickle is never opened. A conversion may be among its "
            f"pull requests: revision='refs/pr/1', and so on. {_TO_SAFETENSORS}"
        )
    if location.is_hub and isinstance(error, OSError):  # other errors concern files that exist
        return ModelNotFound(_not_on_hub(location, reason))
    return InvalidInput(
        f"{location.name} could not be loaded ({reason}). Check that the download is complete and that transformers "
        f"{transformers.__version__} supports the model type."
    )


_EXTRAS = {
    "sentencepiece": "align", "sacremoses": "align", "gguf": "gguf", "accelerate": "gguf", "pillow": "vision",
    "peft": "adapters",
}  # fmt: skip
"""The extra that each package comes with."""


def _needs_package(name: str, reason: str) -> str:
    """What a missing package is called, and how to install it."""
    package = next((package for package in _EXTRAS if package in reason.lower()), None)
    if package is not None:
        return f"{name} needs {package}, which is not installed. Run `{install_command(_EXTRAS[package])}`."
    return f"{name} needs a package that is not installed: {' '.join(reason.split())[:300]}"


def _not_on_hub(location: ModelLocation, reason: str) -> str:
    remote = "no network (HF_HUB_OFFLINE is set)" if constants.HF_HUB_OFFLINE else constants.ENDPOINT
    hub_id = location.path_or_id
    return (
        f"Could not load {hub_id} (revision {location.revision or 'main'}). Tried: the local cache "
        f"{constants.HF_HUB_CACHE}, then {remote}. {reason} If this machine has no network, run `hf download {hub_id} "
        f"--local-dir {hub_id.rpartition('/')[2]}` on one that has, copy the folder here, and pass its path."
    )


def first_line(error: BaseException) -> str:
    """First line of an error's message; the name of its class if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
