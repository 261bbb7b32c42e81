"""What negation moves: scopes in Transformers, and displacements of words."""
