"""The data sets that studies read."""
