"""What the tests share."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

SHARED = Path(__file__).parents[2] / "shared" / "data"


# The models of the tests are too small for several threads, which then wait for each other, and the longer the
# busier the machine is.
torch.set_num_threads(1)

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


# What a test needs is told by the fixtures it uses, its own and those behind them: it has the marker without a line.
NEEDS = {
    "cluster": "ray",
    "chromium": "browser",
    "shared_data": "data",
    "fiftyone_installed": "app",
    "everything": "slow",
}


@pytest.hookimpl(tryfirst=True)  # before pytest looks at -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if fixture in NEEDS:
                item.add_marker(NEEDS[fixture])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real link lists and photographs, which lie beside the checkout and never in it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which lies beside the maintainers' checkouts only")
    return SHARED


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Has a folder lie on a read-only disk until the test's end; permissions alone are no hindrance for root."""
    mounted: list[Path] = []

    def protect(folder: Path) -> None:
        for how in (("--bind", folder, folder), ("-o", "remount,ro,bind", folder)):
            if subprocess.run(["mount", *how], capture_output=True, check=False).returncode:
                pytest.skip("needs to mount a folder read-only (root)")
            if folder not in mounted:
                mounted.append(folder)

    yield protect
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if not found:
        pytest.skip("needs Chromium (apt install chromium)")
    return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of two nodes of one CPU each, to which this process is connected."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")  # a test calls nobody
        nodes = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
        nodes.add_node(**small)
        ray.init(nodes.address, log_to_driver=False, logging_level="ERROR")
        yield nodes
        ray.shutdown()
        nodes.shutdown()
