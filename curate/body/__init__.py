"""From joint angles to a body: poses, the skeleton, contacts, the capsules around the bones, and the camera."""
