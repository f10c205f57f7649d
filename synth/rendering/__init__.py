"""From a body to a picture: camera, appearance, light, and folders of rendered images."""
