"""Each side of a classifier shows what it goes by, and says what it weighs in the picture."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from PIL import Image

from fewshot.classifier import BodyClassifier, Classifier, Mixture
from fewshot.explaining.explainer import Explainer
from fewshot.explaining.overlay import pale
from fewshot.explaining.skeleton import skeleton
from fewshot.trained.looking import Seen
from fewshot.trained.model import TrainedModel

WORDS = {2: ("called waves", "50.0 %"), 0: ("bars", "")}
NOBODY = np.full((33, 5), np.nan, np.float32)

Explain = Callable[..., Explainer]

pytestmark = pytest.mark.slow


@pytest.fixture
def image(trained: Callable[..., TrainedModel]) -> TrainedModel:
    return trained()


@pytest.fixture
def explain(image: TrainedModel) -> Explain:
    def build(classifier: Classifier) -> Explainer:
        return Explainer(classifier, image.normalise, image.about.transform)

    return build


@pytest.fixture
def seen(image: TrainedModel, postures: tuple[BodyClassifier, np.ndarray]) -> Seen:
    size = image.about.transform.size
    return Seen(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8), postures[1][0])


def test_of_several_sides_each_class_has_a_panel_of_each(
    explain: Explain, image: TrainedModel, seen: Seen, postures: tuple[BodyClassifier, np.ndarray]
) -> None:
    both = Mixture((postures[0], image.classifier), (1.0, 2.0), (0.75, 0.25))
    panels = explain(both).panels(seen, (512, 512), WORDS)
    assert [(each.title, each.note, each.side) for each in panels] == [
        ("called waves", "50.0 %", "body, weight 0.75"),
        ("called waves", "50.0 %", "image, weight 0.25"),
        ("bars", "", "body, weight 0.75"),
        ("bars", "", "image, weight 0.25"),
    ]
    picture = Image.new("RGB", (64, 64), (90, 90, 90))
    alone = [*explain(postures[0]).panels(seen, (512, 512), WORDS)]
    alone[1:1] = explain(image.classifier).panels(seen, (512, 512), WORDS)
    alone = [alone[0], alone[1], alone[3], alone[2]]
    shown = [each.over(picture).tobytes() for each in panels]
    assert shown == [each.over(picture).tobytes() for each in alone]
    assert len(set(shown)) == 4


def test_where_nobody_is_the_image_has_all_the_weight(
    explain: Explain, image: TrainedModel, seen: Seen, postures: tuple[BodyClassifier, np.ndarray]
) -> None:
    both = Mixture((postures[0], image.classifier), (1.0, 2.0), (0.75, 0.25))
    panels = explain(both).panels(Seen(seen.pixels, NOBODY), (512, 512), WORDS)
    assert [each.side for each in panels] == ["body: nobody was found", "image, weight 1.00"] * 2
    picture = Image.new("RGB", (64, 64), (90, 90, 90))
    assert panels[0].over(picture).tobytes() == pale(picture).tobytes()


def test_weights_of_mixtures_within_mixtures_are_multiplied(
    explain: Explain, image: TrainedModel, seen: Seen, postures: tuple[BodyClassifier, np.ndarray]
) -> None:
    inner = Mixture((postures[0], image.classifier), (1.0, 1.0), (0.5, 0.5))
    panels = explain(Mixture((image.classifier, inner), (1.0, 1.0), (0.2, 0.8))).panels(seen, (512, 512), WORDS)
    assert [each.side for each in panels[:3]] == ["image, weight 0.20", "body, weight 0.40", "image, weight 0.40"]


def test_a_single_side_says_nothing_of_itself_but_that_nobody_is_there(
    explain: Explain, seen: Seen, postures: tuple[BodyClassifier, np.ndarray]
) -> None:
    explainer = explain(postures[0])
    assert [each.side for each in explainer.panels(Seen(None, seen.joints), (512, 512), WORDS)] == ["", ""]
    assert explainer.panels(Seen(None, NOBODY), (512, 512), WORDS)[0].side == "nobody was found"


def test_joints_lie_where_they_are_in_the_picture_whatever_its_size(
    explain: Explain, seen: Seen, postures: tuple[BodyClassifier, np.ndarray]
) -> None:
    assert seen.joints is not None
    (panel, _) = explain(postures[0]).panels(Seen(None, seen.joints), (1000, 500), WORDS)
    assert isinstance(panel.over, partial)
    added = panel.over.keywords["contributions"]
    picture = Image.new("RGB", (200, 100))
    expected = skeleton(picture, seen.joints[:, :2] / np.array([1000, 500], np.float32), added)
    assert panel.over(picture).tobytes() == expected.tobytes()
