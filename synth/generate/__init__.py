"""`synth generate`: synthetic images of a collection's classes, each with its provenance."""
