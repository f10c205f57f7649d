"""The files of a model, on this machine: found in a local directory, or fetched from the model hub.

Only safetensors is read: a pickled file runs whatever its author wrote into it.

--model, --controlnet      a directory that diffusers wrote (save_pretrained), or a hub id OWNER/NAME
--lora, --ip-adapter       a .safetensors file, a directory or a hub id with one such file, or OWNER/NAME/PATH/IN/IT;
                           an IP-Adapter's image encoder lies in image_encoder/ beside its file
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import errors as hub

from curate.foundation import json_files, yaml_files
from curate.foundation.errors import FewposeError, UsageError
from curate.foundation.quiet import quiet
from synth.generate import library
from synth.generate.settings import Settings

INDEX = "model_index.json"
ENCODER = "image_encoder"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(/[\w./-]+)?")
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_SHAPING = (".json", ".txt", ".model")  # configurations, schedulers and tokenizers decide pixels as weights do


@dataclass(frozen=True)
class Files:
    """What a model is read from."""

    folder: Path
    weights: tuple[Path, ...]  # the safetensors files that are loaded; that of an adapter first
    shaping: tuple[Path, ...] = ()  # the other files that decide its pixels

    @property
    def revision(self) -> str:
        """The commit of a hub repository; "" where it is not known."""
        parents = (self.folder, *self.folder.parents)
        return next((each.name for each in parents if each.parent.name == "snapshots"), "")

    def digest(self, *, shaping: bool = False) -> str:
        """The first 16 hex digits of the SHA-256 over the weights' names and bytes; of the other files', too."""
        total = hashlib.sha256()
        for path in (*self.weights, *(self.shaping if shaping else ())):
            total.update(path.relative_to(self.folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()[:16]

    def license(self) -> str:
        """What the model card says of it; "" where there is none or it says nothing."""
        try:
            text = (self.folder / "README.md").read_text(encoding="utf-8")
            card = yaml_files.parse(text.split("---")[1], "README.md") if text.startswith("---") else None
        except (OSError, UnicodeDecodeError, UsageError, IndexError):
            return ""
        if card is None or not card.is_mapping:
            return ""
        told = {name: value.written for name, value in card.mapping().items()}
        said = told.get("license_name") if told.get("license") == "other" else told.get("license")
        return said or told.get("license") or ""


def weights(settings: Settings) -> str:
    """A digest over every file that the pixels depend on, for Settings.digest(); nothing is loaded into memory.

    Raises UsageError for names that make no sense, FewposeError for what is damaged or can't be had.
    """
    parts = [each.digest(shaping=True) for each in all_of(settings).values()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def all_of(settings: Settings) -> dict[str, Files]:
    """The files of "model", and of "controlnet", "lora" and "ip_adapter" where the settings name one."""
    found = {"model": pipeline(settings)}
    if settings.controlnet:
        found["controlnet"] = controlnet(settings.controlnet)
    if settings.lora:
        found["lora"] = single("--lora", settings.lora)
    if settings.ip_adapter:
        found["ip_adapter"] = ip_adapter(settings.ip_adapter)
    return found


def pipeline(settings: Settings) -> Files:
    """The files of --model. Raises UsageError, FewposeError."""
    name = f"--model {settings.model}"
    folder = _directory("--model", settings.model)
    if folder is None:
        fetch = library.diffusers().DiffusionPipeline.download
        with _from_hub(name, settings.revision), quiet():
            # Of a repository or revision that is not there, diffusers says that it is not cached.
            with suppress(hub.OfflineModeIsEnabled):
                huggingface_hub.model_info(settings.model, revision=settings.revision or None)
            folder = Path(
                fetch(
                    settings.model,
                    revision=settings.revision or None,
                    variant=settings.variant or None,
                    use_safetensors=True,
                )
            )
        _fetch_card(settings.model, folder)
    if not (folder / INDEX).is_file():
        raise UsageError(f"{name} is no diffusers pipeline: {INDEX} is missing; convert a single file with diffusers")
    index = _json(name, folder / INDEX)
    # A component is [library, class]; [null, null] is one that the pipeline does without.
    parts = [part for part, what in index.items() if isinstance(what, list) and len(what) == 2 and what[0]]
    missing = [part for part in parts if not (folder / part).is_dir()]
    if missing:
        raise FewposeError(f"{name} is damaged: {', '.join(missing)} is missing from it")
    found = [path for part in parts for path in _weights_of(name, folder / part, settings.variant)]
    shaping = [path for part in parts for path in (folder / part).iterdir() if path.suffix in _SHAPING]
    return Files(folder, tuple(sorted(found)), tuple(sorted([folder / INDEX, *shaping])))


def controlnet(said: str) -> Files:
    """The files of --controlnet. Raises UsageError, FewposeError."""
    name = f"--controlnet {said}"
    folder = _directory("--controlnet", said)
    if folder is None:
        with _from_hub(name), quiet():
            files = ["config.json", "README.md", "*.safetensors", "*.index.json"]
            folder = Path(huggingface_hub.snapshot_download(said, allow_patterns=files))
    if not (folder / "config.json").is_file():
        raise UsageError(f"{name} is no ControlNet of diffusers: config.json is missing")
    _json(name, folder / "config.json")
    return Files(folder, tuple(_weights_of(name, folder, "")), (folder / "config.json",))


def ip_adapter(said: str) -> Files:
    """The one file of --ip-adapter, and those of the image encoder beside it. Raises UsageError, FewposeError."""
    one = single("--ip-adapter", said, beside=ENCODER)
    encoder = one.folder / ENCODER
    if not (encoder / "config.json").is_file():
        raise UsageError(f"--ip-adapter {said}: its image encoder is missing, {ENCODER}/ beside the file")
    extra = _weights_of(f"--ip-adapter {said}", encoder, "")
    return Files(one.folder, (*one.weights, *extra), (encoder / "config.json",))


def single(option: str, said: str, beside: str = "") -> Files:
    """One safetensors file, and of a hub repository the folder `beside` it. Raises UsageError, FewposeError."""
    path = Path(said).expanduser()
    if path.is_file():
        if path.suffix != ".safetensors":
            raise UsageError(f"{option} {said}: only .safetensors files are read")
        return Files(path.parent, (path,))
    folder = _directory(option, said)
    if folder is None:
        with _from_hub(f"{option} {said}"):
            path = _fetch_single(option, said, beside)
        return Files(path.parent, (path,))
    path = folder / _only_one(option, said, [each.name for each in folder.iterdir()])
    return Files(folder, (path,))


def _fetch_single(option: str, said: str, beside: str) -> Path:
    owner, name, *rest = said.split("/")
    repository = f"{owner}/{name}"
    inside = "/".join(rest) or _only_one(option, said, huggingface_hub.list_repo_files(repository))
    if not inside.endswith(".safetensors"):
        raise UsageError(f"{option} {said}: only .safetensors files are read")
    path = Path(huggingface_hub.hf_hub_download(repository, inside))
    if beside:
        folder = f"{Path(inside).parent.as_posix()}/{beside}".removeprefix("./")
        wanted = [f"{folder}/config.json", f"{folder}/*.safetensors"]
        huggingface_hub.snapshot_download(repository, allow_patterns=wanted, revision=Files(path, ()).revision or None)
    return path


def _only_one(option: str, said: str, names: list[str]) -> str:
    found = sorted(name for name in names if name.endswith(".safetensors"))
    if len(found) != 1:
        which = f"say which of its files: {', '.join(found[:8])}" if found else "it holds no .safetensors file"
        raise UsageError(f"{option} {said}: {which}")
    return found[0]


def _directory(option: str, said: str) -> Path | None:
    """A local directory; None for what may be a hub id. Raises UsageError for what can be neither."""
    path = Path(said).expanduser()
    if path.is_dir():
        return path.resolve()
    if path.is_file():
        raise UsageError(f"{option} {said} is a file; it must be a directory that diffusers wrote, or a hub id")
    if not _HUB_ID.fullmatch(said) or said.startswith("."):
        raise UsageError(f"{option} {said}: there is no such directory, and a hub id looks like OWNER/NAME")
    from curate.models.clip_models import notice_missing_hub  # brings open_clip and torch, which local files do without

    notice_missing_hub()
    return None


@contextmanager
def _from_hub(name: str, revision: str = "") -> Iterator[None]:
    """Turns what the hub's client and diffusers raise into errors of one sentence."""
    try:
        yield
    except hub.GatedRepoError as error:
        raise FewposeError(f"{name} is gated: accept its licence on huggingface.co, then run hf auth login") from error
    except hub.RepositoryNotFoundError as error:
        raise UsageError(f"{name}: neither a directory here nor a repository of the model hub") from error
    except hub.RevisionNotFoundError as error:
        raise UsageError(f"{name} has no revision {revision}") from error
    except (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled) as error:
        raise FewposeError(_out_of_reach(name)) from error
    except hub.EntryNotFoundError as error:
        raise UsageError(f"{name} lacks a file that is needed, or has none in this form: {_first(error)}") from error
    except UsageError:
        raise
    except Exception as error:  # the client's own, httpx's, diffusers'
        if "safetensors" in str(error):
            raise UsageError(f"{name} has no safetensors weights, and nothing else is read") from error
        raise FewposeError(_out_of_reach(name)) from error


def _out_of_reach(name: str) -> str:
    return f"{name} is not on this machine, and the model hub can't be reached; name a local directory instead"


def _fetch_card(said: str, folder: Path) -> None:
    """The model card, for its licence: no image depends on it, and many models have none."""
    try:
        with quiet():
            huggingface_hub.hf_hub_download(said, "README.md", revision=Files(folder, ()).revision or None)
    except (OSError, ValueError):
        return


def _weights_of(name: str, folder: Path, variant: str) -> list[Path]:
    """The safetensors files that are loaded of one component. Raises UsageError where only others are there."""
    if not (folder / "config.json").is_file():
        return []  # a scheduler, a tokenizer
    # diffusers reads the variant's files where a component has some, and the plain ones where not.
    plain = _matching(folder, r"[^.]+\.safetensors")
    chosen = (_matching(folder, rf"[^.]+\.{re.escape(variant)}[^.]*\.safetensors") if variant else []) or plain
    if chosen:
        return chosen
    if others := _matching(folder, r".+\.safetensors"):
        told = sorted({path.name.split(".")[1].split("-")[0] for path in others})
        raise UsageError(f"{name}: {folder.name} has weights of the variant {', '.join(told)} alone; add --variant")
    if any(path.suffix in _PICKLED for path in folder.iterdir()):
        raise UsageError(f"{name}: the weights of {folder.name} are pickled, and only safetensors is read; convert it")
    raise FewposeError(f"{name} is damaged: {folder.name} holds no weights")


def _matching(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.iterdir() if re.fullmatch(pattern, path.name))


def _json(name: str, path: Path) -> dict[str, Any]:
    try:
        return json_files.read(path)
    except OSError as error:
        raise FewposeError(f"{name}: {path.name} cannot be read ({error.strerror})") from error
    except json_files.NotJson as why:
        raise FewposeError(f"{name} is damaged: {path.name}: {why}") from why


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
