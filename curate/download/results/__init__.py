"""What became of each link: the journal, stored files, placeholders, tables, progress."""
