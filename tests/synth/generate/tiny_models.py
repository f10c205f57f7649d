"""Real diffusers pipelines with random weights, small enough for a test, written as a user's would be."""

import gzip
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from open_clip.tokenizer import bytes_to_unicode, default_bpe
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

SIZE = 32  # pixels: the UNet's sample size x the VAE's scale of 2
_MERGES = 400  # of open_clip's 48,894
_WIDTH = 32  # of the text features
_BLOCKS = (16, 32)  # channels of the UNets


def sd15(
    folder: Path, *, safety: bool = False, scheduler: Any = None, blocks: tuple[int, int] = _BLOCKS, variant: str = ""
) -> Path:
    """Of the kind of Stable Diffusion 1.5. safety: with a checker, which refuses nothing until it is told."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pipe = StableDiffusionPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config()).eval(),
            tokenizer=tokenizer(),
            unet=_unet(blocks, cross_attention_dim=_WIDTH),
            scheduler=scheduler or PNDMScheduler(**_NOISE, skip_prk_steps=True),
            safety_checker=_safety_checker() if safety else None,
            feature_extractor=_image_processor() if safety else None,
            requires_safety_checker=safety,
        )
    return _saved(pipe, folder, variant)


def sdxl(folder: Path, *, scheduler: Any = None) -> Path:
    """Of the kind of SDXL: two text encoders, and the image's size told to the UNet."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pipe = StableDiffusionXLPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config()).eval(),
            text_encoder_2=CLIPTextModelWithProjection(_text_config()).eval(),
            tokenizer=tokenizer(),
            tokenizer_2=tokenizer(),
            unet=_unet(
                _BLOCKS,
                cross_attention_dim=2 * _WIDTH,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + _WIDTH,
                use_linear_projection=True,
            ),
            scheduler=scheduler or EulerDiscreteScheduler(**_NOISE, timestep_spacing="leading"),
            add_watermarker=False,
        )
    return _saved(pipe, folder)


def controlnet(folder: Path) -> Path:
    """For sd15. A new ControlNet says nothing until it is trained: its last layers are filled here."""
    with torch.random.fork_rng():
        torch.manual_seed(2)
        net: Any = ControlNetModel(  # diffusers shows type checkers a stand-in without its layers
            block_out_channels=_BLOCKS,
            layers_per_block=1,
            in_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            cross_attention_dim=_WIDTH,
            attention_head_dim=8,
            norm_num_groups=8,
            conditioning_embedding_out_channels=(8, 16),
        )
        for layer in [*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding.conv_out]:
            torch.nn.init.normal_(layer.weight)
    net.save_pretrained(folder, safe_serialization=True)
    return folder


def ip_adapter(folder: Path, pipeline: Path) -> Path:
    """For the UNet of a pipeline: the file, and the image encoder beside it."""
    unet = UNet2DConditionModel.from_pretrained(pipeline / "unet")
    width, tokens = unet.config.cross_attention_dim, 4
    with torch.random.fork_rng():
        torch.manual_seed(3)
        encoder = CLIPVisionModelWithProjection(_vision_config())
        tensors = {
            "image_proj.proj.weight": torch.randn(width * tokens, _WIDTH),
            "image_proj.proj.bias": torch.randn(width * tokens),
            "image_proj.norm.weight": torch.ones(width),
            "image_proj.norm.bias": torch.zeros(width),
        }
        # Cross attentions count 1, 3, 5, ...: every second layer is one of the image with itself.
        layers = [name for name in unet.attn_processors if "attn2" in name]
        for i, name in enumerate(layers):
            out = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
            for part in ("k", "v"):
                tensors[f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight"] = torch.randn(out, width) / width**0.5
    encoder.save_pretrained(folder / "image_encoder", safe_serialization=True)
    save_file(tensors, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


def tokenizer() -> CLIPTokenizer:
    """CLIP's, with the first of its merges: other words fall into more pieces."""
    lines = gzip.decompress(Path(default_bpe()).read_bytes()).decode("utf-8").split("\n")
    merges = lines[1 : _MERGES + 1]
    letters = list(bytes_to_unicode().values())
    words = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge.split()) for merge in merges)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=[tuple(merge.split()) for merge in merges],  # type: ignore[misc]  # declared as texts, used as pairs
        model_max_length=77,
    )


_NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def _unet(blocks: tuple[int, int], **more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        block_out_channels=blocks,
        layers_per_block=1,
        sample_size=SIZE // 2,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=8,
        **more,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=[16, 32],
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
    )


def _text_config() -> CLIPTextConfig:
    count = 2 * 256 + _MERGES + 2
    return CLIPTextConfig(
        vocab_size=count,
        hidden_size=_WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=3,
        projection_dim=_WIDTH,
        bos_token_id=count - 2,
        eos_token_id=count - 1,
        pad_token_id=count - 1,
    )


def _vision_config() -> CLIPVisionConfig:
    return CLIPVisionConfig(
        hidden_size=_WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        image_size=32,
        patch_size=8,
        projection_dim=_WIDTH,
    )


def _safety_checker() -> StableDiffusionSafetyChecker:
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(
            text_config=_text_config().to_dict(), vision_config=_vision_config().to_dict(), projection_dim=_WIDTH
        )
    )
    for threshold in (checker.concept_embeds_weights, checker.special_care_embeds_weights):
        torch.nn.init.constant_(threshold, 2.0)  # above every cosine
    result: StableDiffusionSafetyChecker = checker.eval()
    return result


def _image_processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def _saved(pipe: Any, folder: Path, variant: str = "") -> Path:
    pipe.save_pretrained(folder, safe_serialization=True, variant=variant or None)
    return folder
