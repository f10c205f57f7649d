"""From a pose to synthetic pictures of it."""
