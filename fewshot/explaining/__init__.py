"""What a classifier looked at: heat maps over pictures, for any class that it knows."""
