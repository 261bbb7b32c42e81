"""The four tests on SST and AG News, for the paper's classifier and for MiniLM."""
