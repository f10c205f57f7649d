"""Models from the hub: a small one of our own, asked by the real clients in a process of their own."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from synth.generate.files import weights
from synth.generate.settings import Settings
from tests.synth.generate import tiny_models

pytestmark = pytest.mark.slow

COMMIT = "a" * 40
CLIENT = """
import json, sys
from curate.foundation.errors import FewposeError
from synth.generate.files import all_of, weights
from synth.generate.settings import Settings

for settings in json.loads(sys.argv[1]):
    try:
        model = all_of(Settings(**settings))["model"]
        said = [weights(Settings(**settings)), model.revision, model.license()]
    except FewposeError as error:
        said = [type(error).__name__, str(error)]
    print(json.dumps(said))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """me/tiny alone, at one commit. `folder` is set by the fixture."""

    folder: Path

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path).partition("?")[0]
        files = {file.relative_to(self.folder).as_posix(): file for file in self.folder.rglob("*") if file.is_file()}
        if path == "/":
            self.answer(b"a hub")
        elif not path.startswith(("/api/models/me/tiny", "/me/tiny/")):
            self.refuse("RepoNotFound")
        elif "/resolve/" in path:
            name = path.partition("/resolve/")[2].partition("/")[2]
            if name not in files:
                self.refuse("EntryNotFound")
                return
            content = files[name].read_bytes()
            self.answer(content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"'})
        elif "/tree/" in path:
            oid = "0" * 40
            rows = [{"type": "file", "path": n, "size": f.stat().st_size, "oid": oid} for n, f in files.items()]
            self.answer(json.dumps(rows).encode())
        elif path.endswith("/revision/none"):
            self.refuse("RevisionNotFound")
        else:
            siblings = [{"rfilename": name} for name in files]
            self.answer(json.dumps({"id": "me/tiny", "sha": COMMIT, "siblings": siblings}).encode())

    do_HEAD = do_GET  # noqa: N815

    def refuse(self, code: str) -> None:
        self.answer(b"{}", {"X-Error-Code": code}, status=404)

    def answer(self, content: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        for name, value in ({"X-Repo-Commit": COMMIT} | (headers or {})).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tiny_models.sd15(tmp_path_factory.mktemp("hub") / "tiny")
    (folder / "README.md").write_text("---\nlicense: creativeml-openrail-m\n---\n")
    return folder


@pytest.fixture(scope="module")
def hub(model: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("OurHub", (Hub,), {"folder": model}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(hub: str, home: Path, settings: list[dict[str, str]]) -> list[list[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, json.dumps(settings)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment | {"HF_ENDPOINT": hub, "HF_HOME": str(home), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_model_of_the_hub_is_fetched_once_and_what_is_not_there_is_told(
    hub: str, model: Path, tmp_path: Path
) -> None:
    unet = "me/tiny/unet/diffusion_pytorch_model.safetensors"
    wanted = [
        {"model": "me/tiny"},
        {"model": "me/tiny", "revision": "none"},
        {"model": "no/body"},
        {"model": "me/tiny", "controlnet": "no/body"},
        {"model": "me/tiny", "lora": "me/tiny"},
        {"model": "me/tiny", "lora": unet},
        {"model": "me/tiny", "ip_adapter": unet},
    ]
    fetched, revision, nobody, controlnet, which, lora, encoder = ask(hub, tmp_path, wanted)
    assert fetched == [weights(Settings(str(model))), COMMIT, "creativeml-openrail-m"]
    assert revision == ["UsageError", "--model me/tiny has no revision none"]
    assert nobody == ["UsageError", "--model no/body: neither a directory here nor a repository of the model hub"]
    assert controlnet[1] == "--controlnet no/body: neither a directory here nor a repository of the model hub"
    assert which[1].startswith("--lora me/tiny: say which of its files: text_encoder/model.safetensors, unet/")
    assert lora[1:] == [COMMIT, "creativeml-openrail-m"]
    assert encoder == [
        "UsageError",
        f"--ip-adapter {unet}: its image encoder is missing, image_encoder/ beside the file",
    ]

    nowhere = "http://127.0.0.1:9"
    cached, missing = ask(nowhere, tmp_path, [{"model": "me/tiny"}, {"model": "no/body"}])
    assert cached == fetched
    assert missing[0] == "FewposeError"
    assert "is not on this machine, and the model hub can't be reached" in missing[1]
