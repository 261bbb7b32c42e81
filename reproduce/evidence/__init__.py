"""Where each method ranks the word that decides what a decoder says next."""
