"""What documents are made of: numbers in words, Markdown, templates, SVG, thumbnails."""
