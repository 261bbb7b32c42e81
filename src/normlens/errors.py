"""What can go wrong, said so that the reader knows the next step.

Every message carries three things: what was seen, what was expected, and what to do. The command line prints the
message alone and leaves with exit code 2.
"""


class NormLensError(Exception):
    """Anything that normlens refuses: bad input, an unreadable file, a model that it cannot measure exactly."""


class InvalidInput(NormLensError):
    """The text, ids, image, file or option is not one that can be analysed."""


class ModelNotFound(NormLensError):
    """No model at the given hub id, folder, file or bundled name, or one that may not be loaded safely."""


class UnsupportedArchitecture(NormLensError):
    """The model does something that no exact path covers; the message names the module and the reason."""


class NoAttentionHeard(UnsupportedArchitecture):
    """The model ran, and nothing in it was recognised as attention."""


class AnotherWay(UnsupportedArchitecture):
    """The model took another way through its modules than in the run that was watched first."""


class OtherOutput(UnsupportedArchitecture):
    """The model gives another output when it is listened to than as it is set; the message says how far off."""


class ConservationError(NormLensError):
    """Contributions don't add up to what the module produced; the message names the module and the size of the gap."""


class ModelError(NormLensError):
    """The model fails by itself, although nothing was changed; the message carries its own error."""


class OutOfMemory(NormLensError, MemoryError):
    """Memory is full; the message says how much was asked for and what to reduce."""


class UnknownOperation(UnsupportedArchitecture):
    """The frozen model met an operation outside the closed list of design rules; the message names it."""
