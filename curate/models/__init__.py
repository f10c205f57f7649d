"""CLIP models by name, and the features that they give images."""
