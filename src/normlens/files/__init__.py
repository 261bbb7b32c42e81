"""Files that are written appear whole or not at all; files that are read come to an end."""
