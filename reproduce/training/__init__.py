"""The trainings of models for studies."""
