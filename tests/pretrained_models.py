"""Tiny image classifiers of `transformers` saved to a folder, as a person has them from elsewhere."""

import json

import torch

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
WORDS = {
    "ViT": {**SMALL, "image_size": 16, "patch_size": 4},
    "Swin": {
        "image_size": 16,
        "patch_size": 2,
        "embed_dim": 8,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 4,
    },
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "ConvNext": {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "image_size": 16, "patch_size": 2},
}


def make_hf(family, classes=5, **options):
    import transformers

    torch.manual_seed(0)
    labels = {number: f"thing {number}" for number in range(classes)}
    config = getattr(transformers, f"{family}Config")(**{**WORDS[family], **options}, id2label=labels)
    return getattr(transformers, f"{family}ForImageClassification")(config)


def save_processor(folder, side, **settings):
    """What says how images are prepared: stretched to a square, unless settings say otherwise."""
    plain = {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}}
    (folder / "preprocessor_config.json").write_text(json.dumps({**plain, **settings}))
    return folder


def save_hf(folder, family="ViT", classes=5, **options):
    make_hf(family, classes, **options).save_pretrained(folder)
    return save_processor(folder, 16, image_mean=MEAN, image_std=STD)
