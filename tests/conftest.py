"""What the tests share."""

import shutil
from pathlib import Path

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


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real link lists and photographs, which lie beside the checkout and never in it."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data, which lies beside the maintainers' checkouts only")
    return SHARED


@pytest.fixture(scope="session")
def chromium() -> str:
    found = shutil.which("chromium")
    if not found:
        pytest.skip("needs Chromium (apt install chromium)")
    return found
