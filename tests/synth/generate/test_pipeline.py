"""Real diffusers pipelines with random weights: what is drawn is noise, and which noise is what counts."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerAncestralDiscreteScheduler, LCMScheduler
from PIL import Image

from curate.foundation.errors import FewposeError, UsageError
from synth.generate import adapters, batches, defaults, pipeline
from synth.generate.image_job import Control, ImageJob, Made, Source
from synth.generate.provenance import FACTS
from synth.generate.settings import Settings
from tests.synth.generate import tiny_models
from tests.synth.generate.tiny_models import SIZE

STEPS = 3
COUNT = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_models.sd15(folder / "sd")
    tiny_models.sdxl(folder / "xl")
    tiny_models.controlnet(folder / "cn")
    tiny_models.ip_adapter(folder / "ip", folder / "sd")
    return folder


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[ImageJob]:
    """Prompts of several lengths, with and without a negative prompt."""
    folder = tmp_path_factory.mktemp("sources")
    made = []
    for i in range(COUNT):
        rng = np.random.default_rng(i)
        small = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
        small.resize((80, 96), Image.Resampling.BICUBIC).save(folder / f"{i}.png")
        points = tuple((float(x), float(y), 2) for x, y in rng.uniform(0.2, 0.8, (17, 2)))
        made.append(
            ImageJob(
                "tree",
                i,
                f"tree/{i}.png",
                seed=1000 + i,
                prompt="a person in tree pose" + " by the sea" * 3 * i,
                negative="drawing" if i % 2 else "",
                source=Source(hashlib.sha256((folder / f"{i}.png").read_bytes()).hexdigest(), folder / f"{i}.png"),
                control=Control(f"pose {i}", points),
            )
        )
    return made


def load(settings: Settings, kind: str = "text", *, batch: int = COUNT, dtype: str = "auto") -> pipeline.Diffusion:
    return pipeline.load(settings, kind=kind, device="cpu", dtype=dtype, batch=batch)


def image_of(made: Made) -> Image.Image:
    assert made.image is not None
    return made.image


def pixels(made: list[Made]) -> np.ndarray:
    return np.stack([np.asarray(each.image).astype(int) for each in made])


# One image, however it is made

WAYS = {
    "text": ("sd", "text", {}),
    "image": ("sd", "image", {}),
    "controlnet": ("sd", "text", {"controlnet": "cn"}),
    "controlnet, image": ("sd", "image", {"controlnet": "cn"}),
    "sdxl": ("xl", "text", {}),
    "sdxl, image": ("xl", "image", {}),
    "ip-adapter": ("sd", "text", {"ip_adapter": "ip/tiny.safetensors"}),
    "noise at every step": ("xl", "text", {"scheduler": "EulerAncestralDiscreteScheduler"}),
}
CLASSES = {
    "text": "StableDiffusionPipeline",
    "image": "StableDiffusionImg2ImgPipeline",
    "controlnet": "StableDiffusionControlNetPipeline",
    "controlnet, image": "StableDiffusionControlNetImg2ImgPipeline",
    "sdxl": "StableDiffusionXLPipeline",
    "sdxl, image": "StableDiffusionXLImg2ImgPipeline",
}


def settings_of(way: str, models: Path) -> tuple[Settings, str]:
    model, kind, more = WAYS[way]
    paths: dict[str, Any] = {name: str(models / said) if name != "scheduler" else said for name, said in more.items()}
    return Settings(str(models / model), steps=STEPS, **paths), kind


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_image_is_the_same_alone_in_any_batch_and_in_another_process_state(
    way: str, models: Path, jobs: list[ImageJob]
) -> None:
    settings, kind = settings_of(way, models)
    generator = load(settings, kind)
    together = pixels(generator.make(jobs))
    assert together.shape == (COUNT, SIZE, SIZE, 3)
    apart = np.abs(together[:, None] - together[None]).mean((2, 3, 4))
    assert apart[~np.eye(COUNT, dtype=bool)].min() > 10  # four images, or the rest would say nothing

    torch.manual_seed(99)  # whatever the global state is: a resumed run, another worker
    again = load(settings, kind, batch=1)
    alone = pixels([again.make([job])[0] for job in jobs[::-1]])[::-1]
    assert np.abs(alone - together).max() <= pipeline.BATCH_TOLERANCE
    others = pixels(generator.make([jobs[2], jobs[0]]))
    assert np.abs(others - together[[2, 0]]).max() <= pipeline.BATCH_TOLERANCE
    assert generator.facts()["generator"] == CLASSES.get(way, generator.facts()["generator"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "change"),
    [
        ("text", lambda job, other: replace(job, seed=job.seed + 1)),
        ("text", lambda job, other: replace(job, prompt="a goat")),
        ("text", lambda job, other: replace(job, negative="a goat")),
        ("sdxl", lambda job, other: replace(job, prompt="a goat")),
        ("image", lambda job, other: replace(job, source=other.source)),
        ("controlnet", lambda job, other: replace(job, control=other.control)),
        ("controlnet, image", lambda job, other: replace(job, control=other.control)),
        ("controlnet, image", lambda job, other: replace(job, source=other.source)),
        ("ip-adapter", lambda job, other: replace(job, source=other.source)),
    ],
)
def test_all_that_a_job_says_is_used(way: str, change: Callable[..., Any], models: Path, jobs: list[ImageJob]) -> None:
    settings, kind = settings_of(way, models)
    before, after = pixels(load(settings, kind).make([jobs[0], change(jobs[0], jobs[1])]))
    assert np.abs(before - after).max() > pipeline.BATCH_TOLERANCE


@pytest.mark.slow
def test_the_global_random_state_is_left_alone(models: Path, jobs: list[ImageJob]) -> None:
    generator = load(settings_of("sdxl", models)[0])
    before = torch.get_rng_state()
    generator.make(jobs[:1])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_job_that_lacks_what_the_settings_need_is_refused(models: Path, jobs: list[ImageJob]) -> None:
    bare = replace(jobs[0], source=None, control=None)
    for way, said in (("image", "--from-draw"), ("controlnet", "skeleton"), ("ip-adapter", "--from-draw")):
        settings, kind = settings_of(way, models)
        with pytest.raises(UsageError, match=said):
            load(settings, kind).make([bare])


# The safety checker


@pytest.mark.slow
def test_what_the_safety_checker_refuses_is_no_image(tmp_path: Path, jobs: list[ImageJob]) -> None:
    model = tiny_models.sd15(tmp_path / "safe", safety=True)
    generator = load(Settings(str(model), steps=STEPS))
    assert all(made.image is not None for made in generator.make(jobs))
    checker = generator.pipe.safety_checker
    with torch.no_grad():
        checker.concept_embeds_weights.fill_(-2.0)  # below every cosine: everything is refused
    assert [(made.job, made.image) for made in generator.make(jobs)] == [(job, None) for job in jobs]


# Memory


def lacking(generator: pipeline.Diffusion, most: int) -> list[int]:
    """Make the UNet run out of memory for more than `most` images; returns the sizes that it was given, as a list that
    grows.
    """
    sizes: list[int] = []

    def forward(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(given[0]) // 2)  # both halves of the guidance
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    generator.pipe.unet.register_forward_pre_hook(forward)
    return sizes


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_halved_and_remembered(models: Path, jobs: list[ImageJob]) -> None:
    settings, _ = settings_of("text", models)
    expected = pixels(load(settings, batch=2).make([*jobs, *jobs]))
    generator = load(settings, batch=8)
    sizes = lacking(generator, most=2)
    assert np.abs(pixels(generator.make([*jobs, *jobs])) - expected).max() <= pipeline.BATCH_TOLERANCE
    assert generator.batch == 2
    assert sorted(set(sizes)) == [2, 4, 8]
    sizes.clear()
    generator.make(jobs)
    assert set(sizes) == {2}


@pytest.mark.slow
def test_one_image_that_does_not_fit_is_an_error_in_one_sentence(models: Path, jobs: list[ImageJob]) -> None:
    generator = load(settings_of("text", models)[0])
    lacking(generator, most=0)
    with pytest.raises(FewposeError, match=r"not even one image .* fits into memory") as caught:
        generator.make(jobs)
    assert not isinstance(caught.value, UsageError)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    def work(items: Sequence[int]) -> list[int]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        batches.Batches(2).run([1, 2], work)


def test_the_first_guess_is_a_power_of_two_that_falls_with_the_size() -> None:
    cpu = torch.device("cpu")
    guesses = [batches.first_guess(cpu, side, side, 4) for side in (32, 512, 2048, 100_000)]
    assert guesses == sorted(guesses, reverse=True)
    assert guesses[0] == batches.MOST_ON_CPU
    assert guesses[-1] == 1


# What suits a pipeline


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "steps", "guidance"),
    [
        (lambda pipe: None, 30, 7.5),
        (lambda pipe: pipe.scheduler.register_to_config(timestep_spacing="trailing"), 4, 0.0),
        (
            lambda pipe: pipe.scheduler.register_to_config(timestep_spacing="trailing", rescale_betas_zero_snr=True),
            30,
            7.5,
        ),
        (lambda pipe: setattr(pipe, "scheduler", LCMScheduler.from_config(pipe.scheduler.config)), 4, 0.0),
        (lambda pipe: pipe.unet.register_to_config(time_cond_proj_dim=16), 4, 7.5),
    ],
)
def test_steps_and_guidance_are_told_from_the_configuration(
    change: Callable[..., Any], steps: int, guidance: float, models: Path
) -> None:
    pipe = load(Settings(str(models / "sd"))).pipe
    change(pipe)
    chosen = defaults.choose(pipe, Settings("x"), "text")
    assert (chosen.width, chosen.height, chosen.steps, chosen.guidance) == (SIZE, SIZE, steps, guidance)
    said = defaults.choose(pipe, Settings("x", steps=9, guidance=2.5, width=80, height=48), "text")
    assert said == defaults.Choice(80, 48, 9, 2.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # a scheduler of diffusers
def test_sdxl_has_its_own_guidance_and_turbo_takes_few_steps_of_image_to_image(
    models: Path, tmp_path: Path, jobs: list[ImageJob]
) -> None:
    assert load(Settings(str(models / "xl"))).choice == defaults.Choice(SIZE, SIZE, 30, 5.0)
    turbo = tiny_models.sdxl(tmp_path / "turbo", scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"))
    generator = load(Settings(str(turbo), strength=0.5), "image")
    assert generator.choice == defaults.Choice(SIZE, SIZE, 8, 0.0)  # half of 8 are done
    assert image_of(generator.make(jobs[:1])[0]).size == (SIZE, SIZE)


def test_a_size_that_is_asked_for_is_made(models: Path, jobs: list[ImageJob]) -> None:
    generator = load(Settings(str(models / "sd"), steps=1, width=80, height=48))
    assert image_of(generator.make(jobs[:1])[0]).size == (80, 48)
    assert generator.facts()["size"] == "80x48"


def test_image_to_image_without_a_step_is_refused(models: Path) -> None:
    with pytest.raises(UsageError, match=r"--strength 0.1 of --steps 5 is less than one step"):
        load(Settings(str(models / "sd"), strength=0.1, steps=5), "image")


# Facts


def test_facts(models: Path, tmp_path: Path) -> None:
    settings = Settings(
        str(models / "sd"),
        steps=STEPS,
        controlnet=str(models / "cn"),
        controlnet_scale=0.5,
        ip_adapter=str(models / "ip"),
    )
    facts = load(settings, "image").facts()
    assert facts.keys() <= set(FACTS)
    assert all(isinstance(value, str) and value for value in facts.values())
    expected = {
        "generator": "StableDiffusionControlNetImg2ImgPipeline",
        "scheduler": "PNDMScheduler",
        "steps": "3",
        "guidance": "7.5",
        "strength": "0.6",
        "size": f"{SIZE}x{SIZE}",
        "dtype": "float32",
        "device": "cpu",
        "controlnet": str(models / "cn"),
        "controlnet_scale": "0.5",
        "ip_adapter_scale": "0.6",
    }
    assert facts.items() >= expected.items()
    assert {"weights", "controlnet_weights", "ip_adapter_weights"} <= facts.keys()
    assert f"torch {torch.__version__.split('+')[0]}" in facts["versions"]
    assert "license" not in facts
    assert "strength" not in load(Settings(str(models / "sd"))).facts()


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlicense: openrail++\ntags:\n- x\n---\n# A model\n", "openrail++"),
        ("---\nlicense: other\nlicense_name: sai-nc-community\n---\n", "sai-nc-community"),
        ("# no front matter\n", ""),
        ("---\n: [broken\n---\n", ""),
    ],
)
def test_the_licence_of_the_model_card(card: str, license: str, tmp_path: Path) -> None:
    model = tiny_models.sd15(tmp_path / "sd")
    (model / "README.md").write_text(card)
    assert load(Settings(str(model))).facts().get("license", "") == license


def test_the_digest_follows_whatever_decides_the_pixels(tmp_path: Path) -> None:
    model = tiny_models.sd15(tmp_path / "sd")
    settings = Settings(str(model))
    first = pipeline.weights(settings)
    assert pipeline.weights(replace(settings, seed=5)) == first  # the settings have a digest of their own
    (model / "README.md").write_text("a model")
    (model / "v1-5-pruned.safetensors").write_bytes(b"not a component")
    assert pipeline.weights(settings) == first

    scheduler = model / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"beta_end": 0.013}))
    second = pipeline.weights(settings)
    assert second != first
    with (model / "unet" / "diffusion_pytorch_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    assert pipeline.weights(settings) not in (first, second)


def test_the_digest_takes_no_model_into_memory(models: Path) -> None:
    """Nor diffusers: a plan is made on machines that lack it."""
    code = f"""
import sys
from synth.generate.files import weights
from synth.generate.settings import Settings
print(weights(Settings({str(models / "sd")!r})))
assert "diffusers" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == pipeline.weights(Settings(str(models / "sd"))), done.stderr


# What goes wrong, each in one sentence


def test_a_variant_is_loaded_when_it_is_named(tmp_path: Path, jobs: list[ImageJob]) -> None:
    model = tiny_models.sd15(tmp_path / "sd", variant="fp16")
    with pytest.raises(UsageError, match="variant fp16 alone; add --variant"):
        load(Settings(str(model)))
    assert load(Settings(str(model), variant="fp16", steps=1)).make(jobs[:1])[0].image is not None


def pickled(model: Path) -> None:
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))


def truncated(model: Path) -> None:
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "kind", "said"),
    [
        (pickled, UsageError, "weights of unet are pickled, and only safetensors"),
        (truncated, FewposeError, "can't be used"),
        (lambda model: (model / "model_index.json").unlink(), UsageError, "is no diffusers pipeline"),
        (lambda model: (model / "model_index.json").write_text("{"), FewposeError, "damaged: model_index.json"),
        (lambda model: (model / "vae").rename(model / "gone"), FewposeError, "damaged: vae is missing"),
        (
            lambda model: (model / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
            FewposeError,
            "vae holds no weights",
        ),
    ],
)
def test_a_directory_that_is_no_whole_model(
    damage: Callable[[Path], object], kind: type[FewposeError], said: str, tmp_path: Path
) -> None:
    model = tiny_models.sd15(tmp_path / "sd")
    damage(model)
    with pytest.raises(FewposeError, match=said) as caught:
        load(Settings(str(model)))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": "./nowhere"}, "no such directory"),
        ({"model": "{models}/ip/tiny.safetensors"}, "is a file"),
        ({"model": "{models}/cn"}, "is no diffusers pipeline"),
        ({"controlnet": "{models}/sd"}, "is no ControlNet"),
        ({"controlnet": "{models}/nowhere/at/all"}, "no such directory"),
        ({"ip_adapter": "{models}/cn"}, "image encoder is missing"),
        ({"lora": "{models}/sd/model_index.json"}, "only .safetensors files are read"),
        ({"lora": "{models}/sd"}, "holds no .safetensors file"),
        ({"scheduler": "Nonsense"}, "--scheduler Nonsense does not fit this model; .*DDIMScheduler, .*LCMScheduler"),
        ({"scheduler": "DPMSolverSDEScheduler"}, "does not fit"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], said: str, models: Path) -> None:
    filled = {name: value.format(models=models) for name, value in settings.items()}
    with pytest.raises(UsageError, match=said) as caught:
        load(Settings(**({"model": str(models / "sd")} | filled)))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_controlnet_that_does_not_fit_the_model(models: Path) -> None:
    with pytest.raises(UsageError, match=r"--controlnet .* is for another kind of model"):
        load(Settings(str(models / "xl"), controlnet=str(models / "cn")))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there(models: Path) -> None:
    with pytest.raises(UsageError, match="--device cuda can't be used on this machine"):
        pipeline.load(Settings(str(models / "sd")), kind="text", device="cuda")


def test_a_number_that_is_not_known_or_not_for_a_cpu(models: Path) -> None:
    for dtype, said in (("int8", "must be auto, float32"), ("float16", "is for GPUs")):
        with pytest.raises(UsageError, match=said):
            load(Settings(str(models / "sd")), dtype=dtype)


def test_a_lora_without_its_package(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with pytest.raises(FewposeError, match="--lora needs a package that is missing here: pip install peft"):
        load(Settings(str(models / "sd"), lora=str(models / "ip" / "tiny.safetensors")))
