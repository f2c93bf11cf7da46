"""Model cards made of results."""
