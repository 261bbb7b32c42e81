"""``python -m normlens``: the command line."""

from normlens.cli import main

main()
