"""The models that studies train."""
