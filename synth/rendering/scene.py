"""What differs from image to image: a scene is drawn from a random generator, and nothing else is random later."""

import colorsys
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from curate.body.camera import View
from curate.body.poses import Pose
from curate.body.skeleton import DOFS, Array, Proportions, mirrored
from synth.rendering.appearance import HAIRCUTS, Appearance, Colour
from synth.rendering.backdrop import Backdrop

JITTER = 3.0  # degrees, standard deviation of each angle
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
    """Everything that one image shows, before the contacts are solved; `angles` (dofs,) are those of the side done."""

    angles: Array
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
    """A scene of this pose."""
    mirror = bool(rng.random() < 0.5)
    angles = pose.angles + np.where(_loose(), rng.normal(0, JITTER, len(DOFS)).clip(-2 * JITTER, 2 * JITTER), 0)
    azimuth = _azimuth(pose, rng)
    view = View(
        azimuth=-azimuth if mirror else azimuth,
        elevation=float(rng.uniform(*pose.elevation)),
        lens=float(rng.uniform(22, 48)),
        fill=float(rng.uniform(0.66, 0.90)),
        shift=(float(rng.uniform(-1, 1)), float(rng.uniform(-0.65, 0.65))),
        roll=float(rng.normal(0, 1.0)),
    )
    people = _people(rng)
    return Scene(
        angles=mirrored(angles) if mirror else angles,
        mirror=mirror,
        people=people,
        appearance=_appearance(people.bust == 0, rng),
        view=view,
        light=_light(view.azimuth, rng),
        backdrop=Backdrop.draw(rng),
        noise=int(rng.integers(2**32)),
    )


def _loose() -> Array:
    """The angles that may tremble: not where the whole body points."""
    return np.array([dof.joint != "root" for dof in DOFS])


def _azimuth(pose: Pose, rng: np.random.Generator) -> float:
    widths = np.array([high - low + 1e-9 for low, high in pose.azimuth])
    low, high = pose.azimuth[int(rng.choice(len(widths), p=widths / widths.sum()))]
    return float(rng.uniform(low, high))


def _people(rng: np.random.Generator) -> Proportions:
    """Two overlapping kinds of build, and spread within each."""
    base = Proportions()
    woman = rng.random() < 0.65
    around = {"height": 0.97, "waist": 0.90} if woman else {"height": 1.05, "shoulder_half": 1.12, "hip_half": 0.95,
                                                          "girth": 1.04, "bust": 0.0}  # fmt: skip
    spread = {"height": 0.03, "hip_half": 0.05, "shoulder_half": 0.05, "loin": 0.04, "ribs": 0.03, "neck": 0.06,
              "upper_arm": 0.025, "forearm": 0.025, "hand": 0.03, "thigh": 0.025, "shank": 0.025, "foot": 0.03,
              "head": 0.03, "girth": 0.07, "waist": 0.04, "bust": 0.4}  # fmt: skip
    factors = {
        name: around.get(name, 1.0) * float(np.clip(rng.normal(1, wide), 1 - 2 * wide, 1 + 2 * wide))
        for name, wide in spread.items()
    }
    return base.scaled(factors)


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
