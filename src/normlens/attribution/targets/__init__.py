"""The targets of an attribution: scalars of the model's output, named by class, token, position or function."""
