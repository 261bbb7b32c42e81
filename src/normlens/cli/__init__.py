"""The command line: one file per command, and each of them parses, calls the library and prints.

Results go to standard output or to the file that ``-o`` names; progress and messages go to standard error. Torch and
transformers are imported inside the commands, so that ``normlens --help`` answers at once.
"""

from normlens.cli.app import app, main

__all__ = ["app", "main"]
