"""A collection of coloured shapes, and a CLIP that is tiny and really trained: it knows three colours by name."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from curate.collection import findings
from curate.collection.directory import Collection
from curate.collection.findings import Findings, Ran
from curate.importing.importer import import_folder
from curate.models import clip_models

COLOURS = {"red": (215, 35, 35), "green": (35, 160, 60), "blue": (40, 70, 210)}
SHAPES = ("square", "circle")
MODEL = "tiny"
PLANTED = "blue/99.png"  # a red square among the blue, which the rule wrong_label flags
SIDE = 64  # the model's image size, pixels


def picture(colour: str, shape: str, seed: int, side: int = SIDE) -> Image.Image:
    """A shape of about half the side, somewhere on a light ground."""
    random = np.random.default_rng(seed)
    ground = random.integers(200, 250, 3)
    image = Image.new("RGB", (side, side), tuple(int(v) for v in ground))
    size = random.uniform(0.45, 0.6) * side
    x, y = random.uniform(0.02 * side, side - size, 2)
    r, g, b = (int(v) for v in np.clip(np.add(COLOURS[colour], random.integers(-20, 20, 3)), 0, 255))
    draw = ImageDraw.Draw(image)
    (draw.rectangle if shape == "square" else draw.ellipse)((x, y, x + size, y + size), fill=(r, g, b))
    return image


def prompt(colour: str) -> str:
    return f"a {colour} square"


def train(checkpoint: Path, steps: int = 120) -> None:
    """Train the image tower of --model tiny towards its text tower with CLIP's own loss; write the weights.

    The text tower stays as it is, so that its features are computed once: seconds on one core.
    """
    clip = clip_models.load(f"{MODEL}/random", device="cpu")
    words = torch.nn.functional.normalize(torch.from_numpy(clip.encode_texts([prompt(c) for c in COLOURS])), dim=1)
    optimiser = torch.optim.AdamW(clip.model.visual.parameters(), lr=1e-3)
    truth = torch.arange(len(COLOURS)).repeat(len(SHAPES))
    for step in range(steps):
        shown = [picture(colour, shape, seed=1000 + step) for shape in SHAPES for colour in COLOURS]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in shown]))
        images = torch.nn.functional.normalize(clip.model.visual(clip.normalise(pixels)), dim=1)
        loss = torch.nn.functional.cross_entropy(100 * images @ words.T, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    save_file({name: tensor.contiguous() for name, tensor in clip.model.state_dict().items()}, checkpoint)


def collection(folder: Path, per_class: int = 6) -> Collection:
    """A class a colour, and the planted image. Checked: the only rule is wrong_label, which drops."""
    photos = folder / "photos"
    for colour in COLOURS:
        (photos / colour).mkdir(parents=True)
        for number in range(per_class):
            shown = picture(colour, SHAPES[number % 2], seed=number, side=128)
            shown.save(photos / colour / f"{number:02}.png")
    picture("red", "square", seed=99, side=128).save(photos / PLANTED)
    import_folder(photos, folder / "collection", workers=1)
    made = Collection.open(folder / "collection")
    findings.write(made, _found(made.images()))
    return made


def _found(images: pd.DataFrame) -> Findings:
    rows = [
        (key, id, "wrong_label", 1, 0.9, 0.5, True, "looks like red", "", "red")
        if key == PLANTED
        else (key, id, "wrong_label", 1, 0.1, 0.5, False, "", "", "")
        for key, id in zip(images["key"], images["id"], strict=True)
    ]
    rule = Ran("probably wrong label", 1, "label", drops=True, parameters={"threshold": 0.5}, scored=len(images))
    table = pd.DataFrame(rows, columns=list(findings.COLUMNS))
    return Findings(table, {"wrong_label": rule}, findings.digest(images))
