"""One file for each command, which parses its options and calls the library; what several of them parse stands beside."""
