import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from synth.cli import app


def synth(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["synth", *arguments])
    try:
        app()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_imports_nothing_heavy():
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
def test_every_command_has_an_example(monkeypatch, capsys, command):
    code, out, _ = synth(monkeypatch, capsys, command, "--help")
    assert code == 0
    assert f"Example: synth {command}" in out


def test_render_says_what_it_did(monkeypatch, capsys, tmp_path):
    out_folder = tmp_path / "out"
    arguments = ("render", str(out_folder), "--poses", "tree", "--per-class", "2", "--size", "64", "--workers", "1")
    code, out, err = synth(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "2 images drawn" in out
    assert "rendering: 2/2" in err
    code, out, _ = synth(monkeypatch, capsys, *arguments)
    assert code == 0
    assert "0 images drawn; 2 were there already" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--poses", "swan"), "there is no pose 'swan'; the poses are tree,"),
        (("--per-class", "0"), "--per-class must be at least 1"),
        (("--size", "9999"), "--size must be from"),
        (("--workers", "0"), "--workers must be"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(monkeypatch, capsys, tmp_path, arguments, message):
    code, out, err = synth(monkeypatch, capsys, "render", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert not out


def test_poses_lists_names_and_folders(monkeypatch, capsys):
    code, out, _ = synth(monkeypatch, capsys, "poses")
    assert code == 0
    assert "downward_dog" in out
    assert "Tree_Pose_or_Vrksasana_" in out


def test_sheet_writes_a_picture(monkeypatch, capsys, tmp_path):
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
