"""What differs from image to image: a scene is drawn from a random generator, and nothing else is random later."""

import colorsys
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from curate.body import variation
from curate.body.camera import View
from curate.body.contact_solver import Goals
from curate.body.poses import Pose
from curate.body.skeleton import Array, Proportions, mirrored
from synth.rendering.appearance import HAIRCUTS, Appearance, Colour
from synth.rendering.backdrop import Backdrop

_SKINS = ("f3cfb3", "e8b896", "d9a077", "c48a60", "a66d47", "855234", "5f3a26", "43291c")
_HAIRS = ("15110f", "2a1c14", "47301f", "6e4a2c", "a37a48", "7a2f1b", "8f8a85")


@dataclass(frozen=True)
class Light:
    """A far light: `towards` it (3,), its colour, and the colour of the light from everywhere; linear RGB."""

    towards: Array
    colour: Array
    around: Array


@dataclass(frozen=True)
class Scene:
    """Everything that one image shows, before the contacts are solved; `angles` (dofs,) and `goals` are those of the
    side done.
    """

    angles: Array
    goals: Goals
    mirror: bool
    people: Proportions
    appearance: Appearance
    view: View
    light: Light
    backdrop: Backdrop
    noise: int


def generator(pose: str, seed: int, index: int) -> np.random.Generator:
    """The generator of one image: depends on these three alone, on every machine."""
    digest = blake2b(f"fewpose synth\0{pose}\0{seed}\0{index}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def draw(pose: Pose, rng: np.random.Generator) -> Scene:
    """A scene of this pose, done in one of its ways."""
    pose = variation.way(pose, rng)
    mirror = bool(rng.random() < 0.5)
    angles = variation.trembled(pose.angles, rng)
    azimuth = variation.azimuth(pose, rng)
    view = View(
        azimuth=-azimuth if mirror else azimuth,
        elevation=float(rng.uniform(*pose.elevation)),
        lens=float(rng.uniform(22, 48)),
        fill=float(rng.uniform(0.66, 0.90)),
        shift=(float(rng.uniform(-1, 1)), float(rng.uniform(-0.65, 0.65))),
        roll=float(rng.normal(0, 1.0)),
    )
    people = variation.build(rng)
    return Scene(
        angles=mirrored(angles) if mirror else angles,
        goals=pose.goals.mirrored() if mirror else pose.goals,
        mirror=mirror,
        people=people,
        appearance=_appearance(people.bust == 0, rng),
        view=view,
        light=_light(view.azimuth, rng),
        backdrop=Backdrop.draw(rng),
        noise=int(rng.integers(2**32)),
    )


def _appearance(man: bool, rng: np.random.Generator) -> Appearance:
    def pick(options: tuple[str, ...], weights: tuple[float, ...]) -> str:
        return options[int(rng.choice(len(options), p=np.array(weights) / sum(weights)))]

    return Appearance(
        top=pick(("none" if man else "bra", "tank", "tee", "long"), (1 if man else 2, 4, 3, 2)),
        bottom=pick(("shorts", "capri", "leggings"), (2, 2, 5)),
        haircut=pick(HAIRCUTS, (6, 1, 0.5, 0.2) if man else (1, 3, 4, 1.5)),
        skin=linear(_SKINS[int(rng.integers(len(_SKINS)))]),
        top_colour=_dye(rng),
        bottom_colour=_dye(rng),
        hair_colour=linear(_HAIRS[int(rng.integers(len(_HAIRS)))]),
    )


def _dye(rng: np.random.Generator) -> Colour:
    """A colour that clothes have: mostly muted, often dark, now and then white or bright."""
    kind = rng.random()
    hue = float(rng.random())
    saturation, value = (
        (rng.uniform(0, 0.15), rng.uniform(0.08, 0.3)) if kind < 0.3
        else (rng.uniform(0, 0.1), rng.uniform(0.75, 0.92)) if kind < 0.45
        else (rng.uniform(0.35, 0.8), rng.uniform(0.35, 0.85))
    )  # fmt: skip
    red, green, blue = colorsys.hsv_to_rgb(hue, float(saturation), float(value))
    return (red**2.2, green**2.2, blue**2.2)


def _light(azimuth: float, rng: np.random.Generator) -> Light:
    """Light from in front and above, left or right of the camera, warm or cool."""
    side = np.deg2rad(azimuth + rng.choice([-1, 1]) * rng.uniform(15, 75))
    height = np.deg2rad(rng.uniform(35, 68))
    warmth = rng.uniform(-1, 1)
    power = rng.uniform(0.85, 1.15)
    around = rng.uniform(0.34, 0.5)
    return Light(
        towards=np.array([np.sin(side) * np.cos(height), np.sin(height), np.cos(side) * np.cos(height)]),
        colour=power * np.array([1 + 0.10 * warmth, 1.0, 1 - 0.14 * warmth]),
        around=around * np.array([1 - 0.05 * warmth, 1.0, 1 + 0.08 * warmth]),
    )


def linear(code: str) -> Colour:
    """Linear RGB of a six-digit colour code."""
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return (red**2.2, green**2.2, blue**2.2)
