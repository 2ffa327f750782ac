"""Tiny object detectors of `transformers` saved to a folder, as a person has them from elsewhere."""

import json

import torch

CLASSES = {0: "cat", 1: "dog", 2: "cup"}
QUERIES = 7
SMALL = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_queries": QUERIES,
}
YOLOS = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "image_size": [64, 96],
    "patch_size": 16,
    "num_detection_tokens": QUERIES,
}
PROCESSORS = {"Detr": "Detr", "ConditionalDetr": "ConditionalDetr", "TableTransformer": "Detr", "Yolos": "Yolos"}
LEVELS = {"DeformableDetr": "DeformableDetr", "RTDetr": "RTDetr"}
"""Kinds whose queries sample feature maps of several sizes."""
KINDS = tuple(PROCESSORS)
SIDES = {"shortest_edge": 64, "longest_edge": 128}


def make_detector(kind, **options):
    import transformers

    torch.manual_seed(0)
    if kind == "Yolos":
        config = transformers.YolosConfig(**{**YOLOS, **options}, id2label=CLASSES)
        return sharpen(transformers.YolosForObjectDetection(config))
    if kind == "RTDetr":
        return make_rt_detr(**options)
    stages = ["stage2", "stage3"] if kind in LEVELS else ["stage2"]
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16], depths=[1, 1, 1], layer_type="basic", out_features=stages
    )
    if kind in LEVELS:
        options = {"num_feature_levels": 3, **options}
    config = getattr(transformers, f"{kind}Config")(
        **{**SMALL, **options},
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=backbone,
        id2label=CLASSES,
    )
    return sharpen(getattr(transformers, f"{kind}ForObjectDetection")(config))


def make_rt_detr(**options):
    import transformers

    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    small = {
        "d_model": 32,
        "encoder_hidden_dim": 32,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "num_queries": QUERIES,
        "decoder_attention_heads": 4,
        "encoder_attention_heads": 4,
        "num_denoising": 0,
        "encoder_in_channels": [8, 16, 16],
        "decoder_in_channels": [32, 32, 32],
    }
    config = transformers.RTDetrConfig(**{**small, **options}, backbone_config=backbone, id2label=CLASSES)
    return sharpen(transformers.RTDetrForObjectDetection(config))


def sharpen(model):
    """Weights so large that queries differ in what they look at and in what they find; at first all are alike."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and "backbone" not in name:
                weight.normal_(std=1.5 / weight.shape[1] ** 0.5)
            elif "detection_tokens" in name:
                weight.normal_()
    return model


def save_detector(folder, kind="Detr", model=None, **settings):
    """A detector with its processor's own settings but for the size; others by name."""
    import transformers

    (model or make_detector(kind)).save_pretrained(folder)
    size = {"height": 64, "width": 96} if kind == "RTDetr" else SIDES
    processor = getattr(transformers, f"{(PROCESSORS | LEVELS)[kind]}ImageProcessorPil")(size=size)
    processor.save_pretrained(folder)
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return folder
