"""Train translation models for a language pair, in one direction or both: a killed run resumes to the same result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import MarianMTModel, set_seed

from normlens.bitext.eflomal import eflomal_program
from normlens.bitext.links import Cell
from normlens.errors import InvalidInput
from normlens.translation.batches import Course, EncodedPairs, encode
from normlens.translation.durations import duration
from normlens.translation.export import description, export
from normlens.translation.guidance import Guide, eflomal_links
from normlens.translation.marian import new_model
from normlens.translation.preparation import Pair, PreparedText, TrainingText, described, prepare, write_text
from normlens.translation.recipe import Recipe, recipe_for
from normlens.translation.resuming import (
    own_random_state,
    remove_checkpoints,
    require_packages,
    run_or_resume,
    seconds_left,
)
from normlens.translation.run_folder import RunFolder, keep, writing
from normlens.translation.trainer import Reporter, Silent, TrainingDirection, device_for_training
from normlens.translation.vocabulary import learn_pieces, tokenizer_for


@dataclass(frozen=True)
class TrainedPair:
    """Folders of trained models.

    Attributes
    ----------
    forward
        From source to target.
    reverse
        From target to source; None if one direction was trained.
    """

    forward: Path
    reverse: Path | None


def train(
    text: TrainingText,
    folder: str | Path,
    *,
    both: bool = False,
    device: str | None = None,
    snapshots: bool = False,
    reporter: Reporter | None = None,
    **recipe: Any,
) -> TrainedPair:
    """Train a translation model on a parallel text, or two of opposite directions; resume where a killed run stopped.

    Parameters
    ----------
    text
        The text, and how it is read.
    folder
        Folder of the models, such as ``folder/de-fr``; ``folder/training`` holds everything that resuming needs.
    both
        Whether to train both directions.
    device
        "cpu", "cuda" or "mps". None: a GPU if there is one.
    snapshots
        Whether to keep the weights at the end of every half epoch, in ``folder/training``.
    reporter
        Receives the progress of the training and its estimated time.
    **recipe
        Attributes of :class:`Recipe`; the others are chosen by the amount of text.

    Returns
    -------
    TrainedPair

    Raises
    ------
    InvalidInput
        If the text can't be read or is too small, the folder holds another training, or a package or program is missing.
    NormLensError
        If the folder can't be written.
    """
    place, told = RunFolder(folder), reporter or Silent()
    require_packages()
    device = device_for_training(device)
    facts = {**text.facts(), "recipe": dict(sorted((name, x) for name, x in recipe.items() if x is not None))}
    place.check(facts)
    wanted = _directions(text, both)
    if not all(place.model(*languages).exists() for languages in wanted):
        if recipe.get("guide") == "eflomal":
            eflomal_program()
        with own_random_state(), writing(place.path):
            _train(_Preparing(text, place, facts, recipe, told), wanted, device, snapshots)
    folders = [place.model(*languages) for languages in wanted]
    return TrainedPair(folders[0], folders[1] if both else None)


@dataclass(frozen=True)
class _Preparing:
    """What is known before the text is read."""

    text: TrainingText
    place: RunFolder
    facts: dict[str, Any]
    chosen: dict[str, Any]
    told: Reporter


def _train(begun: _Preparing, wanted: list[tuple[str, str]], device: str, snapshots: bool) -> None:
    place, told = begun.place, begun.told
    told.message("Reading the text")
    prepared = prepare(begun.text)
    recipe = recipe_for(len(prepared.training), **begun.chosen)
    place.begin(begun.facts)
    keep(place.state / "recipe.json", asdict(recipe), place.path)
    write_text(prepared, begun.text, place.state / "text")
    told.message(described(asdict(prepared.counts)))
    pieces = place.state / "vocabulary.spm"
    if not pieces.exists():
        told.message("Learning the vocabulary")
        sentences = [sentence for pair in prepared.training for sentence in pair]
        learn_pieces(sentences, pieces, recipe.pieces, fold_case=begun.text.lowercase)
    unfinished = [languages for languages in wanted if not place.model(*languages).exists()]
    both = [_Prepared(begun, recipe, languages, device, snapshots) for languages in unfinished]
    encoded = encode(prepared.training, both[0].tokenizer), encode(prepared.held_out, both[0].tokenizer)
    for one in both:
        one.read(prepared, *encoded)
    place.require_space(both[0].first_model().num_parameters())
    told.message(_estimate(both, device))
    links = None
    if recipe.guide == "eflomal":
        told.message("Linking the words by eflomal")
        links = eflomal_links(prepared.training, place.state / "eflomal")
    for direction in both:
        direction.train(links)


class _Prepared:
    """One direction, ready to be trained: its batches, its tokenizer, and its first weights."""

    def __init__(
        self, begun: _Preparing, recipe: Recipe, languages: tuple[str, str], device: str, snapshots: bool
    ) -> None:
        self.begun, self.recipe, self.languages = begun, recipe, languages
        self.device, self.snapshots = device, snapshots
        self.folder, self.turned = begun.place.course(*languages), languages != (begun.text.source, begun.text.target)
        self.tokenizer = tokenizer_for(begun.place.state / "vocabulary.spm", self.folder / "tokenizer", *languages)

    def read(self, prepared: PreparedText, training: EncodedPairs, held_out: EncodedPairs) -> None:
        """Read the pairs, which are encoded from source to target."""
        recipe = self.recipe
        self.counts, self.pairs = prepared.counts, self._turned(prepared.training)
        encoded, held_out = (pairs.turned() if self.turned else pairs for pairs in (training, held_out))
        self.kept = encoded.within(recipe.longest)
        if not self.kept:
            raise InvalidInput(
                f"Every pair has a side of more than {recipe.longest} pieces; expected sentences. Split the text into "
                "sentences, one per line."
            )
        course = Course(
            encoded.select(self.kept), recipe.epochs, recipe.positions, recipe.masking, recipe.plain, recipe.seed
        )
        self.direction = TrainingDirection(
            "→".join(self.languages), course, held_out, self.folder, self.tokenizer if self.snapshots else None
        )

    def first_model(self) -> MarianMTModel:
        """The model with its first weights, the same in every run."""
        set_seed(self.recipe.seed)
        return new_model(self.recipe, len(self.tokenizer))

    def seconds(self) -> float:
        """Estimated time of the rest of the training."""
        return seconds_left(self.first_model(), self.direction, self.recipe, self.device)

    def train(self, links: list[frozenset[Cell]] | None) -> None:
        """Train it, or resume, and export the model."""
        direction, begun = self.direction, self.begun
        if links is not None:
            direction.course.guide = self._guide(links).wanted
        trainer = run_or_resume(self.recipe, self.first_model(), direction, self.device, begun.told)
        begun.told.message(f"{direction.name}: measuring")
        export(
            trainer.model,
            self.tokenizer,
            direction.held_out,
            description(begun.text, self.counts, self.recipe, self.languages),
            trainer.state.log_history,
            begun.place.model(*self.languages),
        )
        remove_checkpoints(direction.folder)

    def _turned(self, pairs: list[Pair]) -> list[Pair]:
        return [(target, source) for source, target in pairs] if self.turned else pairs

    def _guide(self, links: list[frozenset[Cell]]) -> Guide:
        numbers = [(source.count(" ") + 1, target.count(" ") + 1) for source, target in self.pairs]
        turned = [frozenset((j, i) for i, j in of_pair) for of_pair in links] if self.turned else links
        pairs = self.direction.course.pairs
        return Guide(pairs, [numbers[k] for k in self.kept], [turned[k] for k in self.kept], self.tokenizer)


def _estimate(directions: list[_Prepared], device: str) -> str:
    steps = sum(len(one.direction.course) for one in directions)
    seconds = sum(one.seconds() for one in directions)
    recipe = directions[0].recipe
    names = " and ".join(one.direction.name for one in directions)
    return (
        f"{names}: {recipe.layers} + {recipe.layers} layers of width {recipe.width}, {recipe.epochs:g} epochs, {steps:,} "
        f"steps on {device}: about {duration(seconds)}, measured on a few steps"
    )


def _directions(text: TrainingText, both: bool) -> list[tuple[str, str]]:
    return [(text.source, text.target), *([(text.target, text.source)] if both else [])]
