"""Lists that people bring, of links or of files: their lines, their columns, their rows."""
