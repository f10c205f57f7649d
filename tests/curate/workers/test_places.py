"""How cards, CPUs and threads are shared out."""

import os
from typing import Any

import pytest

from curate.foundation.errors import FewposeError, UsageError
from curate.workers.opening import in_this_process
from curate.workers.places import CPUS_OF_A_MODEL, Needs, on_cluster, on_each_cpu, on_this_machine
from curate.workers.settings import WorkerSettings


def model(device: str = "auto") -> Needs:
    return Needs(device, CPUS_OF_A_MODEL)


@pytest.mark.parametrize(
    ("device", "workers", "cards", "expected"),
    [
        ("auto", 0, 0, ["auto"]),
        ("auto", 0, 1, ["auto"]),
        ("auto", 0, 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cuda", 5, 2, ["cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:0"]),
        ("auto", 1, 4, ["cuda:0"]),
        ("cuda:1", 2, 4, ["cuda:1", "cuda:1"]),
        ("cpu", 0, 4, ["cpu"]),
        ("cpu", 2, 4, ["cpu", "cpu"]),
    ],
)
def test_every_card_is_used_unless_one_is_named(device: str, workers: int, cards: int, expected: list[str]) -> None:
    places = on_this_machine(WorkerSettings(workers=workers), model(device), cards)
    assert [place.device for place in places] == expected
    assert [place.number for place in places] == list(range(len(expected)))
    assert {place.threads for place in places} == {max(1, (os.cpu_count() or 1) // len(expected))}


def test_work_without_a_model_has_a_worker_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert [place.threads for place in on_this_machine(WorkerSettings(), Needs(), 4)] == [1] * 6
    assert [place.threads for place in on_this_machine(WorkerSettings(workers=2), Needs(), 4)] == [3, 3]


def test_what_is_left_of_a_models_work_is_done_with_as_many_threads_as_the_rest() -> None:
    two = WorkerSettings(workers=2)
    assert in_this_process(two, Needs(), 1)
    assert not in_this_process(two, model("cpu"), 1)
    assert in_this_process(WorkerSettings(), model("cpu"), 9)
    assert not in_this_process(WorkerSettings("ray", 1), model("cpu"), 1)


def nodes(*resources: tuple[int, int]) -> list[dict[str, float]]:
    """As Ray tells of nodes with so many CPUs and cards."""
    return [{"CPU": float(cpus), "GPU": float(cards)} for cpus, cards in resources]


@pytest.mark.parametrize(
    ("there", "changes", "device", "expected"),
    [
        ([(16, 0), (8, 0)], {}, "cpu", ({"num_cpus": 8}, 3, "cpu", 8)),
        ([(2, 0)], {"workers": 2}, "cpu", ({"num_cpus": 1}, 2, "cpu", 1)),
        ([(4, 0), (4, 0)], {"workers": 3}, "cpu", ({"num_cpus": 2}, 3, "cpu", 2)),
        ([(16, 2), (16, 2)], {}, "auto", ({"num_gpus": 1.0, "num_cpus": 0}, 4, "cuda", 8)),
        ([(16, 2)], {"gpu_share": 1 / 3}, "cuda", ({"num_gpus": 1 / 3, "num_cpus": 0}, 6, "cuda", 2)),
        ([(16, 2)], {"gpu_share": 0.4, "workers": 3}, "cuda", ({"num_gpus": 0.4, "num_cpus": 0}, 3, "cuda", 4)),
        ([(16, 2)], {}, "cpu", ({"num_cpus": 8}, 2, "cpu", 8)),
    ],
)
def test_places_on_a_cluster(there: list[tuple[int, int]], changes: dict[str, Any], device: str, expected: Any) -> None:
    found = on_cluster(nodes(*there), WorkerSettings("ray", **changes), model(device), 100)
    assert (found.claim, len(found.places), found.places[0].device, found.places[0].threads) == expected
    assert len(on_cluster(nodes(*there), WorkerSettings("ray", **changes), model(device), 1).places) == 1


def test_work_without_a_model_takes_every_cpu_of_a_cluster_and_no_card() -> None:
    found = on_cluster(nodes((3, 1), (2, 0)), WorkerSettings("ray"), Needs(), 100)
    assert (found.claim, len(found.places)) == ({"num_cpus": 1}, 5)


def test_more_workers_than_cpus_have_one_each() -> None:
    assert on_cluster(nodes((2, 0), (1, 0)), WorkerSettings("ray", 9), model("cpu"), 100).claim == {"num_cpus": 1}


def test_what_the_cluster_lacks_is_said() -> None:
    with pytest.raises(UsageError, match="--device cuda: the Ray cluster has no GPU"):
        on_cluster(nodes((2, 0)), WorkerSettings("ray"), model("cuda"), 1)
    with pytest.raises(UsageError, match="Ray chooses which"):
        on_cluster(nodes((2, 2)), WorkerSettings("ray"), model("cuda:1"), 1)
    for needs in (Needs(), model()):
        with pytest.raises(FewposeError, match="no node with a CPU"):
            on_cluster(nodes((0, 0)), WorkerSettings("ray"), needs, 1)
    with pytest.raises(FewposeError, match="no node with a CPU"):
        on_each_cpu({"a": {}})


def test_the_first_few_cpus_are_spread_over_the_nodes() -> None:
    places = on_each_cpu({"b": {"CPU": 3.0}, "a": {"CPU": 1.0}, "c": {}})
    assert [(place.number, place.node) for place in places] == [(0, "a"), (1, "b"), (2, "b"), (3, "b")]
