"""From bytes to pictures: decoding, the square that a model sees, cached pixels, and what copies are known by."""
