"""The operations that a page asks for by name, and the arguments that they take: over HTTP, or from a notebook's cell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from normlens.errors import InvalidInput, NormLensError, TooBusy, UnknownRun
from normlens.view.service import ViewService

_STATUS = {UnknownRun: 404, TooBusy: 429}
_KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "text", "targetText", "run", "group", "measure", "kind"), (str,)),
    **dict.fromkeys(("method", "token", "against", "by", "gold"), (str,)),
    "threshold": (float,),
    **dict.fromkeys(("layer", "target"), (int,)),
    **dict.fromkeys(("head", "place"), (int, type(None))),
}


class Operations:
    """What a service answers, by name.

    Parameters
    ----------
    service
        Answers the requests.
    """

    def __init__(self, service: ViewService) -> None:
        self._works: dict[str, Callable[..., Any]] = {
            "models": service.models,
            "run": lambda model, text, targetText="": service.run(model, text, targetText),
            "progress": service.progress,
            "cancel": service.cancel,
            "overview": service.overview,
            "map": service.map,
            "row": service.row,
            "save": service.save,
            "attribute": service.attribute,
            "flow": service.flow,
            "align": service.align,
        }

    @property
    def names(self) -> list[str]:
        """The names of the operations."""
        return list(self._works)

    def answer(self, name: object, arguments: object) -> Any:
        """What an operation returns: facts for JSON, or a message of arrays.

        Raises
        ------
        InvalidInput
            If there is no such operation, or it doesn't take these arguments.
        """
        if not isinstance(name, str) or name not in self._works:
            raise InvalidInput(f"There is no operation {name!r}; expected one of {', '.join(self._works)}.")
        if not isinstance(arguments, dict):
            raise InvalidInput("The request isn't a JSON object.")
        for argument, value in arguments.items():
            if type(value) not in _KINDS.get(argument, ()):
                raise InvalidInput(f"The argument {argument!r} can't be {type(value).__name__}.")
        try:
            return self._works[name](**arguments)
        except TypeError as error:
            raise InvalidInput(f"The request's arguments don't fit: {error}.") from error


def status_of(error: NormLensError) -> int:
    """The status of a refusal, as HTTP numbers them."""
    return _STATUS.get(type(error), 400)
