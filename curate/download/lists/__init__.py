"""Link lists, as people have them: formats, keys, official splits."""
