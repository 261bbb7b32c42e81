"""What a run of the four tests is to do: read from a TOML file, every key checked before anything is trained."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_type_hints

from normlens.errors import InvalidInput, did_you_mean
from normlens.faithfulness.four_tests.adversary import Divergence
from normlens.faithfulness.four_tests.labeled_texts import DataFiles
from normlens.faithfulness.four_tests.toml_values import converted
from normlens.faithfulness.four_tests.training import TrainingOptions, require_integer

T = TypeVar("T")
Kind = Literal["recurrent", "transformer"]


@dataclass(frozen=True)
class ClassifierOptions:
    """The classifier under test.

    Attributes
    ----------
    kind
        "recurrent": the paper's BiLSTM with additive attention. "transformer": a Hugging Face classifier.
    hidden, vectors, vector_size, min_count
        Recurrent: size of the LSTM's state in each direction, a file of word vectors, the size of random ones, and how often
        a word must occur in the training texts to have an id.
    model, layers, heads, longest
        Transformer: what :func:`normlens.load` takes; the layers and heads whose attention is tested (−1 is the last layer,
        default: all heads); and the length in tokens to which texts are cut.
    row
        Transformer: the token whose row of attention is tested, "first" or "last". Default: the one that the head reads; a
        head that reads several tokens takes a row by name.
    trained
        Transformer: whether the model is a classifier that is tested as it is. Default: it is fine-tuned first.
    start
        Where a trained model is tested: the checkpoint that it was fine-tuned from, from which the other models are
        fine-tuned too. Without it they start from the tested model, with a new head, and there is no seeds test.
    """

    kind: Kind = "recurrent"
    hidden: int = 128
    vectors: Path | None = None
    vector_size: int = 300
    min_count: int = 1
    model: str = "minilm-l6"
    layers: tuple[int, ...] = (-1,)
    heads: tuple[int, ...] | None = None
    longest: int | None = 256
    row: Literal["first", "last"] | None = None
    trained: bool = False
    start: str | None = None

    def __post_init__(self) -> None:
        if not self.layers:
            raise InvalidInput("layers is empty; expected at least one layer whose attention is tested.")
        for name in ("hidden", "vector_size", "min_count", "longest"):
            require_integer(name, getattr(self, name), 1)
        if self.trained and self.kind != "transformer":
            raise InvalidInput(
                "trained is true for a recurrent classifier, which is always trained here. Leave it out, or set "
                'kind = "transformer".'
            )
        if self.start is not None and not self.trained:
            raise InvalidInput(
                f"start is {self.start!r}, but trained is not true; without it all models are fine-tuned from model. Set "
                "trained = true to test the model as it is."
            )


@dataclass(frozen=True)
class TestOptions:
    """Which tests are run, and how often.

    Attributes
    ----------
    seeds
        Models with learned attention, and with uniform attention; the first is the base model.
    strengths
        λ of the adversaries.
    adversary_seeds
        Adversaries of the λ that is chosen on dev; the other λ have one each.
    divergence
        Which divergence of α the adversary's loss takes.
    explanations
        What is tested as an explanation. "weight": α. "norm": ‖αf(x)‖; for a Transformer also "norm:residual" and every
        scope that the model has, and any method of attribution by name, such as "decompx". "contribution": α times the
        logit of a state, for a recurrent classifier.
    guides
        Seeds of the diagnostic for each guide.
    guided
        The guides by name, such as "uniform", "base/weight" and "base/weight/permuted". Default: all.
    shuffled
        Models that are trained on shuffled labels, a control that must end at chance.
    permutations, distributions, instances
        Permutations of α, adversarial distributions, and test texts on which both, gradient and leave-one-out are run
        (None: all).
    """

    __test__ = False  # pytest would collect it otherwise

    seeds: int = 5
    strengths: tuple[float, ...] = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
    adversary_seeds: int = 3
    divergence: Divergence = "kl"
    explanations: tuple[str, ...] = ("weight", "norm")
    guides: int = 5
    guided: tuple[str, ...] = ()
    shuffled: int = 3
    permutations: int = 100
    distributions: int = 5
    instances: int | None = None

    def __post_init__(self) -> None:
        if self.seeds < 2:
            raise InvalidInput(f"seeds is {self.seeds}; expected at least 2, since seeds are compared.")
        for name in ("seeds", "adversary_seeds", "guides", "shuffled", "permutations", "distributions", "instances"):
            require_integer(name, getattr(self, name), 0)
        if any(not 0 <= strength < float("inf") for strength in self.strengths):
            raise InvalidInput(f"strengths are {list(self.strengths)}; expected finite numbers from 0.")
        if len(set(self.strengths)) < len(self.strengths) or len(set(self.explanations)) < len(self.explanations):
            raise InvalidInput("strengths or explanations name one twice; expected each once.")
        _check_guides(self.guided, self.explanations)
        if "weight" not in self.explanations:
            raise InvalidInput(
                f'explanations are {list(self.explanations)}; expected "weight" among them, to compare with.'
            )


def _check_guides(names: tuple[str, ...], explanations: tuple[str, ...]) -> None:
    """Refuse guides that there are not, and a choice without the one that all others are compared with."""
    own = [f"base/{name}{control}" for name in explanations for control in ("", "/permuted", "/random")]
    allowed = ["uniform", "learned", "label", *own, *(f"adversary/{name}" for name in explanations)]
    for name in names:
        if name not in allowed:
            raise InvalidInput(
                f"There is no guide {name!r}; expected some of {', '.join(allowed)}.{did_you_mean(name, allowed)}"
            )
    if names and "uniform" not in names:
        raise InvalidInput(f'guided is {list(names)}; expected "uniform" among them, to compare with.')


_RECURRENT = TrainingOptions()
_TRANSFORMER = TrainingOptions(epochs=3, learning_rate=5e-5, weight_decay=0.01, warmup=0.1)


@dataclass(frozen=True)
class Experiment:
    """A run of the four tests.

    Attributes
    ----------
    data
        The texts.
    classifier
        The classifier under test.
    training, adversary, diagnostic
        How classifiers, adversaries and guided models are trained.
    tests
        Which tests.
    """

    data: DataFiles
    classifier: ClassifierOptions = field(default_factory=ClassifierOptions)
    training: TrainingOptions = _RECURRENT
    adversary: TrainingOptions = _RECURRENT
    diagnostic: TrainingOptions = _RECURRENT
    tests: TestOptions = field(default_factory=TestOptions)

    @property
    def compares_seeds(self) -> bool:
        """Whether there is a seeds test: not where other models would start from what the tested one has learned."""
        return not self.classifier.trained or self.classifier.start is not None

    def as_data(self) -> dict[str, Any]:
        """Everything as JSON takes it."""
        data: dict[str, Any] = _plain(asdict(self))
        return data


def read_experiment(path: Path) -> Experiment:
    """Read a TOML file; paths in it are relative to its folder.

    Parameters
    ----------
    path
        A file with the tables [data], and if wanted [classifier], [training], [adversary], [diagnostic] and [tests]. Their
        keys are the attributes of :class:`Experiment`'s classes.

    Raises
    ------
    InvalidInput
        If it can't be read, a key is unknown (the nearest is named) or has a value of another type.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # of TOML, of UTF-8, or of an integer with thousands of digits
        raise InvalidInput(f"{path} can't be read as TOML: {error}.") from error
    return experiment_of(tables, path.parent)


def experiment_of(tables: Mapping[str, Any], folder: Path = Path()) -> Experiment:
    """An experiment from the tables of a TOML file.

    Parameters
    ----------
    tables
        Table to key to value.
    folder
        What paths are relative to.

    Raises
    ------
    InvalidInput
        As :func:`read_experiment`.
    """
    _refuse_unknown(tables, Experiment, "The file")
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise InvalidInput(f"{name} is {table!r:.60}; expected a table: write [{name}] on a line of its own.")
    if "data" not in tables:
        raise InvalidInput("The file has no table [data]; expected one with train, test and, if there is one, dev.")
    classifier = _beside(_built(ClassifierOptions, tables.get("classifier", {}), "classifier", folder), folder)
    defaults = _TRANSFORMER if classifier.kind == "transformer" else _RECURRENT
    training = _built(TrainingOptions, tables.get("training", {}), "training", folder, defaults)
    experiment = Experiment(
        data=_built(DataFiles, tables["data"], "data", folder),
        classifier=classifier,
        training=training,
        adversary=_built(TrainingOptions, tables.get("adversary", {}), "adversary", folder, training),
        diagnostic=_built(TrainingOptions, tables.get("diagnostic", {}), "diagnostic", folder),
        tests=_built(TestOptions, tables.get("tests", {}), "tests", folder),
    )
    return experiment


def _built(kind: type[T], table: Mapping[str, Any], name: str, folder: Path, defaults: T | None = None) -> T:
    """One dataclass from its table."""
    _refuse_unknown(table, kind, f"[{name}]")
    hints = get_type_hints(kind)
    values = {key: converted(value, hints[key], f"{key} in [{name}]", folder) for key, value in table.items()}
    if defaults is not None:
        return replace(defaults, **values)  # type: ignore[type-var]
    required = [f.name for f in fields(kind) if f.init and f.name in ("train", "test") and f.name not in values]  # type: ignore[arg-type]
    if required:
        raise InvalidInput(f"[{name}] has no {required[0]}; expected the path of a file.")
    return kind(**values)


def _beside(options: ClassifierOptions, folder: Path) -> ClassifierOptions:
    """Checkpoints that are folders beside the file, by their paths."""
    if options.kind != "transformer":
        return options
    names = {name: getattr(options, name) for name in ("model", "start")}
    beside = {name: str(folder / x) for name, x in names.items() if x and folder != Path() and (folder / x).is_dir()}
    return replace(options, **beside)  # type: ignore[arg-type]  # both are names


def _refuse_unknown(table: Mapping[str, Any], kind: type[Any], where: str) -> None:
    names = [f.name for f in fields(kind)] if is_dataclass(kind) else []
    for key in table:
        if key not in names:
            raise InvalidInput(
                f"{where} has no key {key!r}; expected one of {', '.join(names)}.{did_you_mean(key, names)}"
            )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
