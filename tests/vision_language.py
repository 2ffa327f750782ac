"""Tiny vision-language models of `transformers` with their image processors, and as folders from elsewhere."""

import json
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from watched_models import peaked

SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]
IMAGE_WORDS = [
    "<image>",
    "<|video_pad|>",
    "<vis>",
    "</vis>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
]
GRID_WORDS = [f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)]
WORDS = ["USER", ":", "ASSISTANT", "user", "assistant", "what", "is", "in", "this", "picture", "?", "a", "red", "blue"]
WORDS += ["green", "circle", "square", "on", "the", "left"]
VOCABULARY = [*SPECIAL, *IMAGE_WORDS, *GRID_WORDS, *WORDS]
ID = {word: number for number, word in enumerate(VOCABULARY)}
TEXT = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EYE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} : {% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "IMAGE {% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant : {% endif %}"
)


@dataclass
class Family:
    """One architecture.

    Args:
        model: tiny, its attention far from even.
        processor: of its images.
        options: with which the processor is called.
        sizes: (height, width) of images to give it.
        counts: how many tokens of the text stand for each of these images.
        silent: what the names of layers end in that mix tokens of the image; without them none does.
        places: how many of them are places of the image, where others stand between.
        joined: the processor's name and settings, for a folder.
        named: whether the tokenizer says by name which tokens stand for images.
    """

    model: torch.nn.Module
    processor: object
    sizes: list
    counts: list
    silent: tuple
    options: dict = field(default_factory=dict)
    joined: dict = field(default_factory=dict)
    image: str = "<image>"
    places: list | None = None
    named: bool = True

    def photos(self, count=None):
        chance = np.random.default_rng(3)
        sizes = self.sizes[:count]
        return [Image.fromarray(chance.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]

    def read(self, photos):
        return dict(self.processor(images=photos, return_tensors="pt", **self.options))

    def inputs(self, photos):
        """Ids with as many tokens as the images take, and what the processor makes of the images."""
        ids = [1, ID["USER"], ID[":"]]
        for count in self.counts[: len(photos)]:
            ids += [ID["<vis>"], *[ID["<image>"]] * count, ID["</vis>"], ID["what"]]
        ids = torch.tensor([[*ids, ID["is"], ID["?"]]])
        made = {"input_ids": ids, "attention_mask": torch.ones_like(ids), **self.read(photos)}
        for unused in ("num_patches", "rows", "cols", "num_crops"):
            made.pop(unused, None)
        if self.joined["processor_class"] == "PaliGemmaProcessor":  # without them its kernels see other masks
            made["token_type_ids"] = torch.zeros_like(ids)
        if self.model.config.is_encoder_decoder:
            made["decoder_input_ids"] = torch.tensor([[self.model.generation_config.decoder_start_token_id]])
        if "image_grid_thw" in made:
            made["mm_token_type_ids"] = (ids == ID["<image>"]).int()
        return made

    def save(self, folder):
        """As a folder from elsewhere: weights, tokenizer, image processor, processor and chat template."""
        self.model.save_pretrained(folder)
        make_tokenizer(self.named).save_pretrained(folder)
        if self.joined["processor_class"] == "InstructBlipProcessor":  # its Q-Former reads the question, too
            make_tokenizer(self.named).save_pretrained(folder / "qformer_tokenizer")
        self.processor.save_pretrained(folder)
        (folder / "processor_config.json").write_text(json.dumps(self.joined))
        template = TEMPLATE.replace("IMAGE", self.joined.get("around", "<vis> {} </vis>").format(self.image))
        (folder / "chat_template.jinja").write_text(template)
        return folder


def make_tokenizer(named=True):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel(ID, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    own = {
        "image_token": "<image>",
        "video_token": "<|video_pad|>",
        "start_image_token": "<vis>",
        "end_image_token": "</vis>",
        "context_image_token": "<image>",
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        additional_special_tokens=[*IMAGE_WORDS, *GRID_WORDS],
        extra_special_tokens=own if named else None,
        **names,
    )


def make(family):
    import transformers

    return FAMILIES[family](transformers)


def _llava(lib):
    eye = lib.CLIPVisionConfig(**EYE, image_size=32, patch_size=8)
    config = lib.LlavaConfig(vision_config=eye, text_config=lib.LlamaConfig(**TEXT), image_token_index=ID["<image>"])
    processor = lib.CLIPImageProcessorPil(do_resize=False, crop_size={"height": 32, "width": 32})
    joined = {"processor_class": "LlavaProcessor", "patch_size": 8, "vision_feature_select_strategy": "default"}
    joined |= {"num_additional_image_tokens": 1}
    model = peaked(lib.LlavaForConditionalGeneration(config))
    return Family(model, processor, [(32, 32), (32, 32)], [16, 16], ("self_attn.out_proj",), joined=joined)


def _qwen(lib, number, **eye):
    text = {**TEXT, "rope_parameters": ROPE}
    ids = {"image_token_id": ID["<image>"], "video_token_id": ID["<|video_pad|>"]}
    ids |= {"vision_start_token_id": ID["<vis>"], "vision_end_token_id": ID["</vis>"]}
    shared = {"depth": 2, "num_heads": 4, "patch_size": 4, "spatial_merge_size": 2, "temporal_patch_size": 2}
    config = getattr(lib, f"Qwen{number}VLConfig")(text_config=text, vision_config={**shared, **eye}, **ids)
    model = peaked(getattr(lib, f"Qwen{number}VLForConditionalGeneration")(config))
    size = {"shortest_edge": 8 * 8, "longest_edge": 64 * 64}
    processor = lib.Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, size=size)
    joined = {"processor_class": f"Qwen{number}VLProcessor"}
    sizes, options = [(16, 24), (24, 40)], {"do_resize": False}
    return Family(model, processor, sizes, [6, 15], ("attn.proj",), options, joined)


def _qwen2(lib):
    return _qwen(lib, "2", embed_dim=32, hidden_size=32, mlp_ratio=2)


def _qwen2_5(lib):
    own = {"hidden_size": 32, "intermediate_size": 48, "out_hidden_size": 32}
    return _qwen(lib, "2_5_", **own, window_size=16, fullatt_block_indexes=[1])


def _llava_next(lib):
    eye = lib.CLIPVisionConfig(**EYE, image_size=16, patch_size=4)
    ids = {"image_token_index": ID["<image>"]}
    grids = [[32, 32], [16, 32], [32, 16]]
    config = lib.LlavaNextConfig(
        vision_config=eye, text_config=lib.LlamaConfig(**TEXT), image_grid_pinpoints=grids, **ids
    )
    square = {"height": 16, "width": 16}
    processor = lib.LlavaNextImageProcessorPil(
        size={"shortest_edge": 16}, crop_size=square, image_grid_pinpoints=grids, resample=0
    )
    joined = {"processor_class": "LlavaNextProcessor", "patch_size": 4, "vision_feature_select_strategy": "default"}
    joined |= {"num_additional_image_tokens": 1}
    model = peaked(lib.LlavaNextForConditionalGeneration(config))
    return Family(model, processor, [(32, 32)], [16 + 8 * 8 + 8], ("self_attn.out_proj",), joined=joined, places=[80])


def _internvl(lib):
    eye = lib.InternVLVisionConfig(**EYE, image_size=[16, 16], patch_size=[4, 4], norm_type="layer_norm")
    text = lib.Qwen2Config(**TEXT)
    config = lib.InternVLConfig(
        vision_config=eye, text_config=text, image_token_id=ID["<image>"], image_seq_length=4, downsample_ratio=0.5
    )
    model = peaked(lib.InternVLForConditionalGeneration(config))
    processor = lib.GotOcr2ImageProcessorPil(
        size={"height": 16, "width": 16}, crop_to_patches=True, min_patches=1, max_patches=4, resample=0
    )
    joined = {"processor_class": "InternVLProcessor", "image_seq_length": 4}
    return Family(model, processor, [(32, 32)], [5 * 4], ("attention.projection_layer",), joined=joined)


def _idefics(lib, name):
    eye = {**EYE, "image_size": 16, "patch_size": 4}
    text = lib.LlamaConfig(**TEXT)
    config = getattr(lib, f"{name}Config")(
        vision_config=eye, text_config=text, scale_factor=2, image_token_id=ID["<image>"], pad_token_id=0
    )
    model = peaked(getattr(lib, f"{name}ForConditionalGeneration")(config))
    processor = getattr(lib, f"{name}ImageProcessorPil")(
        size={"longest_edge": 32}, max_image_size={"longest_edge": 16}, resample=0
    )
    joined = {"processor_class": f"{name}Processor", "image_seq_len": 4, "around": "{}"}
    return Family(model, processor, [(32, 32)], [5 * 4], ("self_attn.out_proj",), joined=joined)


def _idefics3(lib):
    return _idefics(lib, "Idefics3")


def _smolvlm(lib):
    return _idefics(lib, "SmolVLM")


def _paligemma(lib):
    eye = lib.SiglipVisionConfig(**EYE, image_size=16, patch_size=4, projection_dim=32, vision_use_head=False)
    text = lib.GemmaConfig(**TEXT, head_dim=8)
    config = lib.PaliGemmaConfig(
        vision_config=eye, text_config=text, image_token_index=ID["<image>"], projection_dim=32, hidden_size=32
    )
    model = peaked(lib.PaliGemmaForConditionalGeneration(config))
    processor = lib.SiglipImageProcessorPil(size={"height": 16, "width": 16})
    processor.image_seq_length = 16
    joined = {"processor_class": "PaliGemmaProcessor", "around": ""}
    return Family(model, processor, [(16, 16)], [16], ("self_attn.out_proj",), joined=joined)


def make_florence2():
    """An encoder and a decoder, whose encoder reads places of a DaViT and words; stages of overlapping patches."""
    import transformers as lib

    torch.manual_seed(0)
    small = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    text = lib.BartConfig(
        vocab_size=len(VOCABULARY), d_model=32, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=128,
        forced_eos_token_id=None, **small, **ids,
    )  # fmt: skip
    eye = {"depths": (1, 1), "patch_size": (7, 3), "patch_stride": (4, 2), "patch_padding": (3, 1)}
    eye |= {"patch_prenorm": (False, True), "embed_dim": (16, 32), "num_heads": (2, 2), "num_groups": (2, 2)}
    eye |= {"window_size": 4, "projection_dim": 32, "max_temporal_embeddings": 10, "max_position_embeddings": 20}
    config = lib.Florence2Config(text_config=text, vision_config=eye, image_token_id=ID["<image>"])
    model = peaked(lib.Florence2ForConditionalGeneration(config))
    processor = lib.CLIPImageProcessorPil(
        size={"height": 32, "width": 48}, do_center_crop=False, resample=0, image_seq_length=1 + 4 * 6
    )
    processor.image_seq_length = 1 + 4 * 6
    silent = ("window_attn.proj", "channel_attn.proj", "conv1", "conv2")
    return Family(model, processor, [(32, 48)], [1 + 4 * 6], silent, joined={"processor_class": "Florence2Processor"})


def make_blip2(writes_with="OPT", name="Blip2"):
    """Learnt queries read the image, and the words read those: in a decoder, or in an encoder and a decoder of T5."""
    import transformers as lib

    ids = {"pad_token_id": 0, "eos_token_id": 2}
    if writes_with == "T5":
        small = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
        text = lib.T5Config(vocab_size=len(VOCABULARY), **small, **ids)
    else:
        small = {"word_embed_proj_dim": 32, "ffn_dim": 48, "max_position_embeddings": 128, "bos_token_id": 1}
        text = lib.OPTConfig(**EYE, vocab_size=len(VOCABULARY), **small, **ids)
    reader = {
        "encoder_hidden_size": 32,
        "vocab_size": len(VOCABULARY),
        "cross_attention_frequency": 2,
        "num_hidden_layers": 3,
    }
    config = getattr(lib, f"{name}Config")(
        vision_config={**EYE, "image_size": 32, "patch_size": 8},
        qformer_config={**EYE, **reader},
        text_config=text,
        num_query_tokens=5,
        image_token_index=ID["<image>"],
    )
    model = peaked(getattr(lib, f"{name}ForConditionalGeneration")(config))
    processor = lib.BlipImageProcessorPil(size={"height": 32, "width": 32}, resample=0)
    joined = {"processor_class": f"{name}Processor", "num_query_tokens": 5, "around": ""}
    return Family(model, processor, [(32, 32)], [5], ("self_attn.projection",), joined=joined, named=False)


FAMILIES = {
    "llava": _llava,
    "qwen2-vl": _qwen2,
    "qwen2.5-vl": _qwen2_5,
    "llava-next": _llava_next,
    "internvl": _internvl,
    "idefics3": _idefics3,
    "smolvlm": _smolvlm,
    "paligemma": _paligemma,
}
