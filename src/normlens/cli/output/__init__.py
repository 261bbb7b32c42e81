"""Output of the commands: what they print, and the files that they write."""
