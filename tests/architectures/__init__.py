"""The architecture matrix: tiny random models of the model types of transformers."""
