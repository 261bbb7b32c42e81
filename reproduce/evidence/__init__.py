"""The rank that each method assigns to the word that decides a decoder's next token."""
