"""From joint angles to a body: poses, the skeleton, contacts, and the capsules around the bones."""
