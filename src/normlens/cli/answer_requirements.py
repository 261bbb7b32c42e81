"""When the options of ``normlens attribute`` for answers, spans and documents have an effect."""

from __future__ import annotations

from normlens.cli.commands.named_methods import methods_asked
from normlens.cli.conditional_options import Requirement, Values


def has_answer(values: Values) -> bool:
    """Whether an answer is explained: generated, brought, or to a question about documents."""
    return bool(values["context"]) or values["generate"] is not None or values["answer"] is not None


def takes_no_answer(*options: str) -> tuple[Requirement, ...]:
    """Requirements of options that choose something else than an answer."""
    reason = "the tokens of an answer are explained. Leave it out, or leave out --generate, --answer and --context."
    return tuple(Requirement(name, lambda v: not has_answer(v), reason) for name in options)


_NO_ANSWER = "no answer is explained. Leave it out, or add --generate or --answer."
_OF_CONTEXT = "the prompt is made of --context and --question. Leave it out, or leave them out."

ANSWERS = (
    Requirement("generate", lambda v: v["answer"] is None, "--answer brings the answer. Leave one of them out."),
    Requirement("step_score", has_answer, _NO_ANSWER),
    Requirement("whole", has_answer, _NO_ANSWER),
    Requirement("whole", lambda v: not v["context"], "with --context the answer is one target already. Leave it out."),
    Requirement("context", lambda v: v["question"] is not None, "no question is asked about it. Add --question."),
    Requirement("question", lambda v: bool(v["context"]), "it is asked about documents. Add --context."),
    *(Requirement(name, lambda v: not v["context"], _OF_CONTEXT) for name in ("file", "image", "audio", "text_pair")),
    Requirement(
        "spans",
        lambda v: all(method.targets != "none" for method in methods_asked(v)),
        "lengths of vectors don't add up over spans. Leave it out, or use a method that explains a target, such as decompx.",
    ),
)
"""Requirements of ``normlens attribute``."""
