"""Classifiers that are kept: trained, written into a directory, loaded without collection or FiftyOne."""
