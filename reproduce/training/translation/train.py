"""Train a small German–English translation model, aligned well enough to link words: resumable, on any number of devices.

``python -m reproduce train-translation --direction de-en --texts free --data DATA --out runs/de-en``; the same
command resumes a killed run. On several GPUs: ``accelerate launch -m reproduce train-translation …``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from transformers import (
    GenerationConfig,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    Seq2SeqTrainingArguments,
    set_seed,
)

from normlens.errors import NormLensError
from reproduce.data.parallel_text import ParallelText, described, prepare, write_text
from reproduce.study.training import keep_settings, last_checkpoint
from reproduce.training.translation.batches import (
    END,
    LONGEST_INPUT,
    PADDING,
    UNKNOWN,
    Course,
    EncodedPairs,
    encode,
    make_tokenizer,
    within_length,
)
from reproduce.training.translation.course import GuidedTrainer, Record, only_item, progress_at_end, steps_of_snapshots
from reproduce.training.translation.export import export
from reproduce.training.translation.guide import Guide, statistical_links
from reproduce.training.translation.settings import Settings


def train(settings: Settings, data: Path, out: Path) -> Path:
    """Train, or resume, and export the model.

    Parameters
    ----------
    settings
        Settings of the training.
    data
        Folder with ``deen/parallel`` and ``deen/gold``.
    out
        Output folder of text, tokenizer, checkpoints, snapshots, log and model.

    Returns
    -------
    Path
        Folder of the finished model.

    Raises
    ------
    InvalidInput
        If data are missing, or ``out`` has a training with other settings.
    """
    finished = out / "model"
    if finished.exists():
        print(f"{finished} is finished")
        return finished
    text = prepare(data, settings.texts, settings.held_out, settings.limit)
    keep_settings(settings, out)
    set_seed(settings.seed)
    print("; ".join(described(text.preparation)), flush=True)
    tokenizer = tokenizer_of(settings, text, out)
    held_out = encode(text.held_out, tokenizer)
    course = Course(
        encode(text.training, tokenizer, settings.longest),
        settings.epochs,
        settings.positions,
        settings.masking,
        settings.plain,
        settings.seed,
    )
    if settings.guide:
        course.guide = guide_of(settings, text, tokenizer, out).wanted
    trainer = trainer_of(settings, course, tokenizer, held_out, out)
    trainer.train(resume_from_checkpoint=last_checkpoint(out))
    if trainer.is_world_process_zero():
        export(
            trainer.model,
            tokenizer,
            held_out,
            asdict(settings),
            asdict(text.preparation),
            trainer.state.log_history,
            out,
        )
    return finished


def tokenizer_of(settings: Settings, text: ParallelText, out: Path) -> MarianTokenizer:
    """Load the tokenizer of a training, or let the first process write the text and train one on it."""
    folder = out / "tokenizer"
    if not (folder / "tokenizer_config.json").exists() and int(os.environ.get("RANK", "0")) == 0:
        write_text(text, out / "text")
        if settings.start:
            shutil.copytree(Path(settings.start) / "tokenizer", folder)
            return MarianTokenizer.from_pretrained(folder)
        source, target = settings.direction.split("-")
        make_tokenizer(text.training, folder, source, target, settings.pieces)
    while not (folder / "tokenizer_config.json").exists():
        time.sleep(1)
    return MarianTokenizer.from_pretrained(folder)


def guide_of(settings: Settings, text: ParallelText, tokenizer: MarianTokenizer, out: Path) -> Guide:
    """Links of the training pairs."""
    links = statistical_links(out / "text", *settings.direction.split("-"))
    kept = within_length(text.training, tokenizer, settings.longest)
    return Guide(encode(text.training, tokenizer, settings.longest), [links[k] for k in kept], tokenizer)


def new_model(settings: Settings) -> MarianMTModel:
    """Make the model, Marian's architecture with all embeddings tied: with random weights, or those of its start."""
    config = MarianConfig(
        vocab_size=settings.pieces,
        d_model=settings.width,
        encoder_layers=settings.layers,
        decoder_layers=settings.layers,
        encoder_attention_heads=settings.heads,
        decoder_attention_heads=settings.heads,
        encoder_ffn_dim=4 * settings.width,
        decoder_ffn_dim=4 * settings.width,
        dropout=settings.dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        activation_function="relu",
        init_std=settings.width**-0.5,
        max_position_embeddings=LONGEST_INPUT,
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        tie_word_embeddings=True,
        pad_token_id=PADDING,
        eos_token_id=END,
        decoder_start_token_id=PADDING,
        forced_eos_token_id=END,
    )
    model = (
        MarianMTModel.from_pretrained(Path(settings.start) / "model", dtype=torch.float32)
        if settings.start
        else MarianMTModel(config)
    )
    model.set_attn_implementation("eager")  # faster than the fused kernel on sentences this short, and it shows weights
    model.generation_config = GenerationConfig(
        pad_token_id=PADDING,
        eos_token_id=END,
        decoder_start_token_id=PADDING,
        suppress_tokens=[UNKNOWN, PADDING],
        max_length=LONGEST_INPUT,
        num_beams=4,
    )
    return model


def trainer_of(
    settings: Settings, course: Course, tokenizer: MarianTokenizer, held_out: EncodedPairs, out: Path
) -> GuidedTrainer:
    """Set up transformers' trainer: one item of the course is one batch, taken in order."""
    arguments = Seq2SeqTrainingArguments(
        output_dir=str(out),
        seed=settings.seed,
        num_train_epochs=1,
        per_device_train_batch_size=1,
        train_sampling_strategy="sequential",
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup,
        lr_scheduler_type="cosine",
        optim="adamw_torch_fused",
        adam_beta2=0.98,
        weight_decay=0.0,
        max_grad_norm=1.0,
        use_cpu=not torch.accelerator.is_available(),
        bf16=settings.precision == "bfloat16",
        logging_steps=50,
        save_strategy="no",
        save_total_limit=2,
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
        report_to=[],
    )
    record = Record(
        course,
        tokenizer,
        held_out,
        out,
        steps_of_snapshots(len(course) // arguments.world_size, settings.epochs),
        progress_at_end(Path(settings.start)) if settings.start else None,
    )
    return GuidedTrainer(
        model=new_model(settings),
        args=arguments,
        train_dataset=course,
        data_collator=only_item,
        callbacks=[record],
    )


def read_arguments(arguments: Sequence[str] | None = None) -> tuple[Settings, Path, Path]:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--direction", choices=["de-en", "en-de"], required=True)
    parser.add_argument("--texts", choices=["free", "all"], default="free")
    parser.add_argument("--data", type=Path, default=os.environ.get("NORMLENS_DATA"), help="default: $NORMLENS_DATA")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--precision", choices=["bfloat16", "float32"], default=Settings.precision)
    parser.add_argument(
        "--start",
        help="folder of a finished training to start from, with a new learning rate (default: random weights)",
    )
    parser.add_argument(
        "--guide", choices=["eflomal"], help="aligner whose links the attention learns to follow (default: none)"
    )
    for name, kind in (
        ("seed", int),
        ("epochs", float),
        ("masking", float),
        ("plain", float),
        ("positions", int),
        ("pieces", int),
        ("width", int),
        ("layers", int),
        ("heads", int),
        ("dropout", float),
        ("learning_rate", float),
        ("warmup", int),
        ("longest", int),
        ("held_out", int),
        ("limit", int),
    ):
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=getattr(Settings, name))
    options = vars(parser.parse_args(arguments))
    data, out = options.pop("data"), options.pop("out")
    if data is None:
        parser.error("name the data folder with --data or NORMLENS_DATA")
    return Settings(**options), Path(data), out


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as set on the command line."""
    try:
        train(*read_arguments(arguments))
    except NormLensError as error:
        print(error, file=sys.stderr)
        return 2
    return 0
