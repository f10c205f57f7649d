"""Folders and CSV files become images of a collection."""
