"""What is measured of a picture before any rule judges it."""
