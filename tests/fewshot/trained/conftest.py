"""Models that are trained on small drawn patterns, in seconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from curate.collection.directory import Collection
from fewshot.sweeping.settings import SweepSettings
from fewshot.trained.settings import TrainSettings
from fewshot.trained.train import train

# Of methods that would take long: enough to change a model.
QUICK = {
    "finetune": {"epochs": 2, "lr": 1e-3},
    "finetune-last": {"epochs": 2, "lr": 1e-3},
    "lora": {"iterations": 4, "lr": 1e-2},
    "proj": {"iterations": 20, "rates": [1e-3]},
    "tip-adapter-f": {"epochs": 2},
}


@pytest.fixture
def asked(collection: Collection, tmp_path: Path) -> Callable[..., TrainSettings]:
    """Settings that take seconds: `asked("finetune", folds=2, model="lite0", shots=3)`; fields of either settings."""

    def build(method: str = "linear-probe", **changes: Any) -> TrainSettings:
        own: dict[str, Any] = {"folds": 2}
        own |= {
            name: changes.pop(name) for name in ("shots", "split", "folds", "unknown", "weights") if name in changes
        }
        sweep = SweepSettings.of(
            collection.root,
            tmp_path / "model",
            methods=(method,),
            shots=(own.get("shots") or 1,),
            splits=own.get("split", 0) + 1,
            model="tiny/random",
            device="cpu",
            recipes=QUICK,
        )
        return TrainSettings(sweep.replaced(**changes), **own)

    return build


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory, collection: Collection) -> Path:
    """A trained model's directory, for tests that only read it."""
    out = tmp_path_factory.mktemp("kept") / "model"
    train(
        TrainSettings(
            SweepSettings.of(
                collection.root, out, methods=("linear-probe",), shots=(1,), splits=1, model="tiny/random", device="cpu"
            )
        )
    )
    return out
