"""One file per command: its options, and its calls of the library; what several commands parse has files of its own."""
