"""Folders and tables become images of a collection."""
