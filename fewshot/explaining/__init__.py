"""What a classifier goes by: heat maps and joints over pictures, for any class that it knows."""
