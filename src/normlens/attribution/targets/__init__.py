"""What is explained: a scalar of the model's output, by class, token, position or function."""
