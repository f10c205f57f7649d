"""The wheel holds what it should, and works outside the checkout, without the gigabytes that only some work needs."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NoReturn

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
COMMANDS = ("curate", "fewshot", "synth")
# All that `--help` and the table of poses may need.
LIGHT = ("typer", "rich", "pyyaml", "requests", "jinja2")


def uv(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run uv in `cwd`, which is outside the checkout: the settings of our pyproject.toml are not a user's."""
    return subprocess.run([UV, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)


def succeed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def impossible(why: str) -> NoReturn:
    """Skip, but not in CI: there, what nobody built nobody tested."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"a wheel cannot be built: {why}")
    pytest.skip(f"a wheel cannot be built here: {why}")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder outside the checkout, given out only where the package registry can be reached."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "needed.in").write_text("hatchling\n")
    if not UV.exists():
        impossible(f"{UV} is missing (make install)")
    resolved = uv("pip", "compile", "--quiet", "needed.in", cwd=folder)
    if resolved.returncode != 0:
        impossible(" ".join(resolved.stderr.split()))
    return folder


@pytest.fixture(scope="module")
def wheel(workshop: Path) -> Path:
    succeed(uv("build", "--wheel", "--out-dir", "dist", ROOT, cwd=workshop))
    (found,) = (workshop / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def programs(workshop: Path, wheel: Path) -> Path:
    """The folder of the programs of a new environment: the wheel, and no more than what is light."""
    environment = workshop / "environment"
    into = ("pip", "install", "--python", environment)
    succeed(uv("venv", "--python", sys.executable, environment, cwd=workshop))
    succeed(uv(*into, "--no-deps", wheel, cwd=workshop))
    succeed(uv(*into, "--constraint", ROOT / "requirements.lock", *LIGHT, cwd=workshop))
    return environment / "bin"


def outside(programs: Path, *command: str) -> str:
    """Run a program of the new environment where nothing of the checkout can be seen."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return succeed(
        subprocess.run(
            [programs / command[0], *command[1:]],
            cwd=programs.parent,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    )


def shipped(folder: str) -> set[str]:
    """The files under a folder of the checkout, without what Python and editors leave behind."""
    found = (path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts and not path.name.startswith(".")}


def test_nothing_but_the_three_packages_is_at_the_top(contents: set[str]) -> None:
    tops = {name.split("/")[0] for name in contents if ".dist-info/" not in name}
    assert tops == {"curate", "fewshot", "synth"}


@pytest.mark.parametrize("package", COMMANDS)
def test_each_file_of_a_package_is_in_the_wheel(contents: set[str], package: str) -> None:
    assert {f"{package}/{file}" for file in shipped(package)} - contents == set()


@pytest.mark.parametrize("package", COMMANDS)
def test_type_checkers_of_other_projects_may_read_a_package_annotations(contents: set[str], package: str) -> None:
    assert f"{package}/py.typed" in contents


def test_the_data_files_lie_inside_curate(contents: set[str]) -> None:
    inside = {name.removeprefix("curate/data/") for name in contents if name.startswith("curate/data/")}
    assert "yoga82.csv" in inside
    assert inside == shipped("data")


def test_the_licence_is_in_the_wheel_and_no_photograph_is(contents: set[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in contents)
    assert {name for name in contents if name.lower().endswith((".jpg", ".jpeg", ".webp"))} == set()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_installed_command_explains_itself(programs: Path, command: str) -> None:
    assert f"Usage: {command} " in outside(programs, command, "--help")


def test_an_installed_fewpose_finds_its_poses_in_its_own_files(programs: Path) -> None:
    code = (
        "from curate.collection import yoga82; from curate.foundation import resources; "
        "print(yoga82.find('tree').sanskrit, resources.path('yoga82.csv'))"
    )
    name, path = outside(programs, "python", "-c", code).split()
    assert name == "Vrksasana"
    assert Path(path).is_relative_to(programs.parent)
    assert not Path(path).is_relative_to(ROOT)
