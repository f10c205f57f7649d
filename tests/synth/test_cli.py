import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from synth.cli import app


def synth(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["synth", *arguments])
    try:
        app()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['synth', '--help']\n"
        "from synth.cli import app\n"
        "try: app()\nexcept SystemExit as stop: assert not stop.code\n"
        "print([name for name in ('numpy', 'PIL', 'pandas', 'torch', 'yaml') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "Example: synth render" in done.stdout


@pytest.mark.parametrize("command", ["render", "poses", "sheet"])
def test_every_command_has_an_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = synth(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert f"Example: synth {command}" in out


def test_render_says_what_it_did(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out_folder = tmp_path / "out"
    arguments = ("render", str(out_folder), "--poses", "tree", "--per-class", "2", "--size", "64", "--workers", "1")
    code, out, err = synth(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "2 images drawn" in out
    assert "rendering: 2/2" in err
    code, out, _ = synth(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "0 images drawn; 2 were there already" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--poses", "swan"), "there is no pose 'swan'; the poses are tree,"),
        (("--pose-file", "none.yaml"), "none.yaml cannot be read (No such file or directory)"),
        (("--per-class", "0"), "--per-class must be a whole number, at least 1"),
        (("--size", "9999"), "--size must be from"),
        (("--workers", "-1"), "--workers must be"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    code, out, err = synth(monkeypatch, capsys, "render", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not out


def test_poses_lists_names_and_folders(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = synth(monkeypatch, capsys, "poses")
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert "tree Tree_Pose_or_Vrksasana_" in rows
    assert "lying_on_back none; --poses everyday" in rows
    assert "…" not in out


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A pose file of somebody else's domain."""
    path = tmp_path / "own.yaml"
    path.write_text(
        "wave:\n  joints:\n    left_shoulder: {abduct: 150}\nsalute:\n  joints:\n    left_elbow: {flex: 140}\n"
    )
    return path


@pytest.mark.slow
def test_a_pose_file_of_ones_own_is_listed_drawn_and_reaches_the_workers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, own: Path
) -> None:
    code, out, _ = synth(monkeypatch, capsys, "poses", "--pose-file", str(own))
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:]] == [["wave", "none"], ["salute", "none"]]
    flags = ("--pose-file", str(own), "--workers", "2")
    arguments = ("--per-class", "2", "--size", "64", *flags)
    code, out, _ = synth(monkeypatch, capsys, "render", str(tmp_path / "out"), *arguments)
    assert code == 0
    assert "4 images drawn" in out
    assert sorted(path.parent.name for path in (tmp_path / "out").rglob("*.jpg")) == ["salute"] * 2 + ["wave"] * 2
    code, out, _ = synth(monkeypatch, capsys, "sheet", str(tmp_path / "s.png"), "--poses", "wave", *flags)
    assert code == 0
    assert "x 160 pixels" in out


def test_a_mistake_in_a_pose_file_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, own: Path
) -> None:
    own.write_text(own.read_text() + "bow:\n  joints: {tail: {flex: 3}}\n")
    code, out, err = synth(monkeypatch, capsys, "render", str(tmp_path / "out"), "--pose-file", str(own))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "own.yaml, line 8: pose bow: there is no joint 'tail'" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_sheet_writes_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "sheet.png"
    arguments = ("--poses", "tree,plank", "--columns", "1", "--size", "64", "--workers", "1")
    code, out, _ = synth(monkeypatch, capsys, "sheet", str(path), *arguments)
    assert code == 0
    with Image.open(path) as image:
        assert (image.size[1], image.format) == (128, "PNG")
        assert f"{image.size[0]} x 128" in out
    code, _, err = synth(monkeypatch, capsys, "sheet", str(tmp_path / "sheet.txt"), *arguments)
    assert code == 2
    assert ".png" in err
