"""What PyTorch's functions do to tokens, by name: which of them only move, which work element by element, which mix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

SKIPPED = ""
"""The name of functions that make no tensor."""


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


UNCHANGING = frozenset(["requires_grad_", "detach_", "share_memory_"])
"""What leaves a tensor's numbers as they are, and gives back the tensor itself."""
VIEWS = UNCHANGING | names(
    "view reshape permute transpose swapaxes swapdims movedim moveaxis t T mT H mH adjoint unsqueeze "
    "squeeze expand expand_as flatten unflatten ravel chunk split split_with_sizes tensor_split unbind "
    "select narrow __getitem__ contiguous clone detach data real to type type_as float half bfloat16 "
    "double cpu cuda view_as reshape_as broadcast_to atleast_1d atleast_2d atleast_3d __iter__ alias "
    "pin_memory as_subclass xpu positive conj resolve_conj resolve_neg swapaxes "
    "hsplit vsplit dsplit diagonal unfold"
)
IDLE = names("contiguous to float half bfloat16 double type type_as cpu cuda dropout")
"""What gives a tensor itself back where it is as asked for already, or where nothing is dropped."""
TURNED_IN_PLACE = names("transpose_ t_ swapaxes_ swapdims_ squeeze_ unsqueeze_ resize_ resize_as_ set_ as_strided_")
"""What gives a tensor itself back with other axes."""
MOVES = names(
    "cat concat concatenate stack hstack vstack dstack roll flip fliplr flipud rot90 repeat tile "
    "repeat_interleave gather take_along_dim index_select masked_select pad pixel_shuffle pixel_unshuffle "
    "channel_shuffle im2col tril triu view_as_complex view_as_real as_strided unfold_images "
    "complex polar pad_sequence"
)
WRITES = names(
    "__setitem__ copy_ index_copy_ index_put_ scatter_ masked_scatter_ index_fill_ fill_ zero_ index_add_ "
    "scatter_add_ masked_scatter index_copy scatter index_put index_add scatter_add slice_scatter "
    "select_scatter index_fill"
)
BY_VALUES = (
    frozenset(["__getitem__", "gather", "take_along_dim", "index_select", "masked_select", "repeat_interleave"])
    | WRITES
)
BY_SIZES = names("pad split split_with_sizes tensor_split unflatten")
"""What takes lists of sizes, some of which may be tensors of one number."""
ELEMENTWISE = names(
    "add sub subtract rsub mul multiply div divide true_divide floor_divide pow float_power neg negative "
    "exp exp2 expm1 log log2 log10 log1p logaddexp sqrt rsqrt reciprocal square tanh sigmoid relu relu6 "
    "leaky_relu prelu elu selu celu gelu silu mish softplus softsign hardtanh hardswish hardsigmoid "
    "logsigmoid tanhshrink softshrink hardshrink threshold rrelu sin cos tan sinh cosh abs absolute sign "
    "sgn clamp clip clamp_min clamp_max maximum minimum fmax fmin addcmul addcdiv lerp where masked_fill "
    "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout "
    "native_dropout softmax log_softmax layer_norm rms_norm group_norm batch_norm instance_norm normalize "
    "local_response_norm nan_to_num erf erfc floor ceil round trunc fmod remainder heaviside xlogy atan2 "
    "softmin gumbel_softmax quantize_per_tensor dequantize fake_quantize asinh acosh "
    "atanh logit erfinv frac lgamma digamma log_sigmoid swish expit sinc relu_ hypot atan asin acos "
    "bernoulli"
)
FACTORS = names("mul multiply div divide true_divide")
SOFTMAXES = frozenset(["softmax", "special_softmax", "_softmax", "softmin", "gumbel_softmax"])
REDUCTIONS = names("mean sum max min amax amin norm vector_norm var std logsumexp prod median nanmean")
PRODUCTS = names("cdist matmul mm bmm einsum baddbmm addmm addbmm mv dot inner tensordot chain_matmul multi_dot")
SCORING = names("matmul bmm einsum baddbmm cdist")
"""Products of tokens with tokens that may weigh values."""
CONVOLUTIONS = frozenset(["conv1d", "conv2d", "conv3d"])
UPWARDS = frozenset(["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"])
POOLINGS = names(
    "avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool1d_with_indices "
    "max_pool2d_with_indices max_pool3d_with_indices lp_pool1d lp_pool2d"
)
ADAPTIVE_POOLINGS = frozenset(
    [
        "adaptive_avg_pool1d",
        "adaptive_avg_pool2d",
        "adaptive_avg_pool3d",
        "adaptive_max_pool1d",
        "adaptive_max_pool2d",
        "adaptive_max_pool3d",
    ]
)
SCANS = names(
    "cumsum cumprod logcumsumexp cummax cummin fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft fft_fft2 "
    "fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_rfftn fft_irfftn"
)
"""What mixes along an axis and keeps the shape, or nearly."""
NORMS = names("layer_norm rms_norm group_norm batch_norm instance_norm normalize log_softmax")
"""What divides by a length, or takes a mean or a sum off, over some axes."""
RECURRENT = frozenset(["lstm", "gru", "rnn_tanh", "rnn_relu", "quantized_lstm"])
CELLS = names("gru_cell lstm_cell rnn_tanh_cell rnn_relu_cell")
"""One step of a recurrent layer."""
SORTING = frozenset(["topk", "sort", "msort", "kthvalue"])
BY_THEIR_VALUES = SORTING | names("unique unique_consecutive")
"""What puts numbers in an order that depends on them."""
MAKERS = names(
    "new_zeros new_ones new_empty new_full new_tensor zeros_like ones_like full_like empty_like rand_like "
    "randn_like randint_like new_empty_strided"
)
"""What takes a tensor for its shape alone."""
LINEAR = names("linear _grouped_mm grouped_mm linear_dynamic linear_relu_dynamic linear_dynamic_fp16 linear_relu")
WEIGHTS_LAID_OUT = VIEWS | MOVES | SORTING | names("__setitem__ copy_ scatter scatter_")
WEIGHTS_CHANGED = LINEAR | names(
    "mul multiply div divide true_divide add sub dropout dropout1d dropout2d dropout3d alpha_dropout "
    "masked_fill where clamp clip clamp_min clamp_max nan_to_num pow square sqrt relu abs normalize "
    "batch_norm layer_norm softmax conv2d einsum matmul native_dropout threshold maximum minimum sum"
)
"""What may be done to weights between their softmax and the product with the values: all that keeps their shape."""
NAMED_BY_PLACE = (
    SCANS
    | NORMS
    | SOFTMAXES
    | LINEAR
    | PRODUCTS
    | CONVOLUTIONS
    | UPWARDS
    | RECURRENT
    | CELLS
    | POOLINGS
    | SORTING
    | frozenset(["grid_sample"])
)
"""Functions of which the module that ran them may have to be named."""

_RENAMED = {
    "__add__": "add", "__radd__": "add", "__iadd__": "add_", "__sub__": "sub", "__rsub__": "sub", "__isub__": "sub_",
    "__mul__": "mul", "__rmul__": "mul", "__imul__": "mul_", "__truediv__": "div", "__rtruediv__": "div",
    "__itruediv__": "div_", "__div__": "div", "__rdiv__": "div", "__idiv__": "div_", "__pow__": "pow",
    "__rpow__": "pow", "__ipow__": "pow_", "__neg__": "neg", "__abs__": "abs", "__matmul__": "matmul",
    "__rmatmul__": "matmul", "__floordiv__": "floor_divide", "__rfloordiv__": "floor_divide", "__mod__": "remainder",
    "__eq__": "eq", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt", "__ge__": "ge",
    "__invert__": "invert", "__and__": "and", "__or__": "or", "__xor__": "xor", "__rand__": "and", "__ror__": "or",
    "_softmax": "softmax", "special_softmax": "softmax", "special_log_softmax": "log_softmax",
    "special_expit": "sigmoid", "linalg_matmul": "matmul", "linalg_norm": "norm", "linalg_vector_norm": "vector_norm",
    "linalg_multi_dot": "multi_dot", "special_exp2": "exp2", "special_xlogy": "xlogy", "special_log1p": "log1p",
    "special_erf": "erf", "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
}  # fmt: skip
_PROPERTIES = {"T", "mT", "H", "mH", "data", "real"}
_GIVEN_AWAY = frozenset([Tensor.numpy, Tensor.__array__, Tensor.__dlpack__])
"""What lets others write into a tensor's memory."""
_ASSIGNED = Tensor.data.__set__  # type: ignore[attr-defined]


class Known(NamedTuple):
    """What is known of a function.

    Args:
        name: what the tables here call it; "" for one that makes no tensor.
        writes: whether it writes into what it is given, or lets others do so, whatever its keywords are.
        idle: whether it may have nothing to do; then it gives back what it was given.
    """

    name: str
    writes: bool
    idle: bool


_known: dict[Callable[..., Any], Known] = {}


def find(func: Callable[..., Any]) -> Known:
    """What is known of a function."""
    # Told once a function: this runs beside each operation of a model.
    return _known.get(func) or _known.setdefault(func, _learn(func))


def _learn(func: Callable[..., Any]) -> Known:
    name = _make_name(func)
    return Known(name, _may_write(func), name in IDLE)


def _may_write(func: Callable[..., Any]) -> bool:
    name = getattr(func, "__name__", "")
    if name == "__get__":
        return False
    inplace = (name.endswith("_") and not name.endswith("__")) or name.startswith("__i") or name == "__setitem__"
    return (inplace and name not in UNCHANGING) or func == _ASSIGNED or func in _GIVEN_AWAY


def _make_name(func: Callable[..., Any]) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        name = getattr(getattr(func, "__self__", None), "__name__", "")
        return name if name in _PROPERTIES else SKIPPED
    if name in ("__set__", "__delete__"):
        return SKIPPED
    if func is getattr(Tensor, "unfold", None):
        return "unfold"
    if name == "unfold":
        return "unfold_images"
    return _RENAMED.get(name, name)


def strip(name: str) -> tuple[str, bool]:
    """A name without the underscore of functions that write in place, and whether it had one."""
    inplace = name.endswith("_") and not name.endswith("__")
    return (name[:-1], True) if inplace else (name, False)
