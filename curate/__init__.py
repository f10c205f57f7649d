"""From links or a folder of photographs to a collection and its training sets."""
