"""A rule that is asked for alone costs what it needs: no model for those that look at no features."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from curate.checks.check import check
from curate.checks.rules import RULES
from curate.collection import findings
from curate.collection.directory import Collection
from curate.importing.importer import import_folder

FEATURES = {"wrong_label", "outlier"}
NUMBERS = {"drawing", "text", "blurry", "dark", "bright", "low_information"}

# Each rule alone, in one process: what was computed for it, and whether torch had been loaded by then.
ONE_BY_ONE = """
import json, shutil, sys
from pathlib import Path
from curate.checks.check import check
from curate.collection.directory import Collection
collection = Collection.open(Path(sys.argv[1]))
for rule in sys.argv[2:]:
    for name in ("measurements", "embeddings"):
        shutil.rmtree(collection.cache(name), ignore_errors=True)
    check(collection, model="lite0/random", rules=[rule])
    computed = [name for name in ("measurements", "embeddings") if collection.cache(name).exists()]
    print(json.dumps([rule, computed, "torch" in sys.modules]))
"""


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    root = tmp_path_factory.mktemp("needs")
    for number in range(6):
        path = root / f"photos/{'tree' if number % 2 else 'plank'}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", (160, 120), (200, 30 * number, 90))
        ImageDraw.Draw(image).line((0, 20 * number, 150, 100), "white", 8)
        image.save(path)
    import_folder(root / "photos", root / "yoga")
    return Collection.open(root / "yoga")


@pytest.mark.slow
def test_only_what_a_rule_needs_is_computed(collection: Collection, tmp_path: Path) -> None:
    last = [rule.name for rule in RULES if rule.name in FEATURES]  # torch stays loaded
    names = [rule.name for rule in RULES if rule.name not in FEATURES] + last
    code = [sys.executable, "-c", ONE_BY_ONE, str(collection.root), *names]
    # Without a detector's weights in torch's cache.
    done = subprocess.run(code, capture_output=True, text=True, env={"TORCH_HOME": str(tmp_path)}, check=True)
    found = {rule: (computed, torch) for rule, computed, torch in map(json.loads, done.stdout.splitlines())}
    assert found == {
        name: (["measurements"] * (name in NUMBERS) + ["embeddings"] * (name in FEATURES), name in FEATURES)
        for name in names
    }


def test_rules_say_that_they_need_features() -> None:
    assert {rule.name for rule in RULES if rule.needs_features} == FEATURES


@pytest.mark.slow
def test_what_was_found_in_features_stays_when_a_rule_without_is_run_alone(collection: Collection) -> None:
    before = check(collection, model="lite0/random")
    check(collection, rules=["exact_duplicate"])  # the default model is another one, and not asked for anything
    read = findings.read(collection)
    assert read is not None
    assert (read.model, read.rules) == ("lite0/random", before.rules)
    other = check(collection, model=None, rules=["outlier"])
    assert other.rules["wrong_label"].not_run == "it was not asked for"  # its features are of another model
    assert other.rules["blurry"] == before.rules["blurry"]
