"""Skeletons drawn over pictures."""

from collections.abc import Iterable

from PIL import Image, ImageDraw

from curate.pose.people import BONES, JOINTS, Person

LEFT, RIGHT, MIDDLE = (0, 158, 115), (213, 94, 0), (240, 228, 66)  # told apart with any colour vision (Okabe and Ito)


def drawn(image: Image.Image, people: Iterable[Person]) -> Image.Image:
    """A copy of an RGB picture with the people's bones on it, the left side in green, the right one in red."""
    picture = image.copy()
    pen = ImageDraw.Draw(picture)
    width = max(2, max(image.size) // 120)
    for person in people:
        for bone in BONES:
            sides = {JOINTS[joint].partition("_")[0] for joint in bone} - {"nose"}
            colour = MIDDLE if len(sides) > 1 else LEFT if "left" in sides else RIGHT
            pen.line([tuple(person.joints[joint, :2].tolist()) for joint in bone], fill=colour, width=width)
    return picture
