"""The body: the people in every image and their keypoints, and what a posture is as numbers."""
