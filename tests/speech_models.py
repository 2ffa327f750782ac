"""A tiny Whisper of random weights with its feature extractor and tokenizer, as a folder from elsewhere, and sounds."""

import wave

import numpy as np
import torch
from watched_models import peaked

RATE, SECONDS, BANDS, PLACES = 16_000, 2, 8, 100
WORDS = ["<pad>", "<s>", "</s>", "<go>", "<unk>", *(f"word{number}" for number in range(40))]


def save_whisper(folder, **options):
    import transformers

    torch.manual_seed(0)
    small = {"encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
    small |= {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "d_model": 32, "vocab_size": len(WORDS)}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    sizes = {"num_mel_bins": BANDS, "max_source_positions": PLACES, "max_target_positions": 40}
    plain = {"begin_suppress_tokens": None, "suppress_tokens": None}
    config = transformers.WhisperConfig(**{**small, **ids, **sizes, **plain, **options})
    peaked(transformers.WhisperForConditionalGeneration(config)).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=BANDS, chunk_length=SECONDS).save_pretrained(folder)
    _make_tokenizer().save_pretrained(folder)
    return folder


def _make_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=made, additional_special_tokens=["<go>"], **names)


def make_sound(seconds=1.0, rate=RATE, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate)).astype(np.float32)


def write_sound(path, sound, rate=RATE, width=2, channels=1):
    """As whole numbers of so many bytes; the same in every channel."""
    high = 2 ** (8 * width - 1)
    numbers = np.clip(np.round(sound * high), -high, high - 1).astype(np.int64)
    if width == 1:
        numbers += 128
    octets = numbers[:, None].astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.repeat(octets[:, None], channels, 1).tobytes())
    return path
