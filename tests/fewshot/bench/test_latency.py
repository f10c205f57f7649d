"""What is measured is told as it was measured; how long anything takes is not tested."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from curate.foundation.errors import UsageError
from fewshot import cli
from fewshot.bench import latency
from fewshot.bench.latency import Engine
from fewshot.classifier import ImageClassifier
from fewshot.trained import directory
from fewshot.trained.model import TrainedModel

ENGINE = Engine("torch", "bf16", len)


@pytest.fixture(scope="module")
def model(trained: Callable[..., TrainedModel]) -> TrainedModel:
    return trained()


def test_percentiles_are_of_the_calls() -> None:
    found = latency.timing(ENGINE, "pixels", 8, np.arange(1.0, 202.0))
    assert (found.calls, found.p50, found.p95, found.p99) == (201, 101.0, 191.0, 199.0)
    assert found.images_per_second == pytest.approx(8000 / 101)
    assert (found.engine, found.precision, found.begins_with, found.batch) == ("torch", "bf16", "pixels", 8)


def test_a_99th_percentile_takes_a_hundred_calls() -> None:
    assert latency.timing(ENGINE, "file", 1, np.ones(99)).p99 is None
    assert latency.timing(ENGINE, "file", 1, np.ones(100)).p99 == 1.0


def test_calls_are_warmed_up_and_each_is_counted() -> None:
    calls: list[float] = []
    taken = latency.measure(lambda: calls.append(time.perf_counter()), 1e-9, least=7)
    assert len(taken) == 7
    assert len(calls) > 7  # the first ones warm up
    assert (taken >= 0).all()


def test_milliseconds_are_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) / 8)
    assert set(latency.measure(lambda: None, 1e-9, least=5)) == {125.0}


@pytest.mark.slow
def test_every_engine_is_measured_from_pixels_and_from_a_file(model: TrainedModel) -> None:
    pytest.importorskip("onnxruntime", reason="needs pip install 'fewpose[export]'")
    done = latency.bench(model, batches=(1, 3), threads=1, seconds=1e-9)
    rows = [(each.engine, each.precision, each.begins_with, each.batch) for each in done.timings]
    kinds = [("file", 1), ("pixels", 1), ("pixels", 3)]
    engines = [("torch", model.precision), ("onnxruntime", "fp32")]
    assert rows == [(*engine, *kind) for engine in engines for kind in kinds]
    assert (done.device, done.threads, done.without) == ("cpu", 1, "")


def test_without_the_extra_torch_is_measured(model: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    done = latency.bench(model, batches=(1,), threads=1, seconds=1e-9)
    assert {each.engine for each in done.timings} == {"torch"}
    assert "pip install 'fewpose[export]'" in done.without


def test_from_a_file_is_from_that_file(model: TrainedModel, tmp_path: Path) -> None:
    Image.new("RGB", (90, 70), (200, 10, 10)).save(tmp_path / "red.png")
    assert latency.decoded(model, tmp_path / "red.png").tolist() == np.full((1, 64, 64, 3), (200, 10, 10)).tolist()


def test_the_drawn_photograph_is_a_photographs_size(tmp_path: Path) -> None:
    with Image.open(latency.draw_photograph(tmp_path / "drawn.jpg")) as image:
        assert (image.format, image.size) == ("JPEG", (1024, 768))
    assert 100_000 < (tmp_path / "drawn.jpg").stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"batches": (0,)}, "--batch takes whole numbers from 1 on"),
        ({"batches": ()}, "--batch takes whole numbers from 1 on"),
        ({"seconds": 0}, "--seconds 0: measuring takes some time"),
        ({"threads": 100_000}, "--threads 100000: this process may use"),
        ({"photograph": Path("/nowhere.jpg")}, "/nowhere.jpg can't be read as an image"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(model: TrainedModel, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        latency.bench(model, **settings)


@pytest.fixture(scope="module")
def kept(model: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept") / "yoga"
    directory.save(folder, model.about, ImageClassifier(model.tower, model.head))
    return folder


@pytest.fixture
def run(kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run `fewshot bench` on the model: what it prints."""

    def start(*flags: str) -> str:
        words = ["fewshot", "bench", str(kept), "--device", "cpu", "--seconds", "0.001", "--threads", "1", *flags]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit):
            cli.app()
        shown = capsys.readouterr()
        return shown.out or shown.err

    return start


@pytest.mark.slow
def test_the_command_prints_a_table(run: Callable[..., str]) -> None:
    out = run("--batch", "1,2")
    heading, *rows = out.splitlines()
    assert heading.split() == ["with", "from", "images", "p50", "ms", "p95", "ms", "p99", "ms", "images/s"]
    torchs = [" ".join(row.split()[2:4]) for row in rows if row.startswith("torch")]
    assert torchs == ["file 1", "pixels 1", "pixels 2"]
    assert any(row.startswith("cpu, 1 thread; ") for row in rows)


@pytest.mark.slow
def test_other_work_on_the_machine_is_told(run: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.25, 0.0, 0.0))
    assert "other work wanted CPUs (a load of 3.2 before it began)" in run("--batch", "1")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.25, 9.0, 9.0))
    assert "other work" not in run("--batch", "1")


@pytest.mark.slow
def test_the_command_prints_json(run: Callable[..., str]) -> None:
    told = json.loads(run("--batch", "2", "--json"))
    assert [(each["begins_with"], each["batch"]) for each in told["timings"]][:2] == [("file", 1), ("pixels", 2)]


def test_a_batch_that_is_no_number_is_one_sentence(run: Callable[..., str]) -> None:
    assert run("--batch", "1,many").startswith(
        "error: --batch must be whole numbers, at least 1, such as 1,8,32, not 'many'"
    )
