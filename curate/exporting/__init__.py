"""A training set as files that other programs read."""
