"""Nodes through which the plain gradient is right: linear in what depends on the input, or a choice among it."""

from __future__ import annotations

__all__ = ["LINEAR", "SHAPES", "SUMS"]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


SHAPES = _names(
    "View UnsafeView ReshapeAlias Reshape Permute Transpose T MT Expand Unsqueeze Squeeze Clone Copy ToCopy Alias "
    "AsStrided Contiguous Repeat Flip Roll Select Slice Index IndexSelect Gather Split SplitWithSizes Unbind Narrow "
    "Unfold NativeDropout MaskedFill Detach Diagonal Swapaxes Movedim Unflatten Flatten MkldnnReshape ViewAs "
    "ViewAsReal ViewAsComplex Conj"
)
"""They move values about, and change none."""
SUMS = _names("Add Sub Rsub Neg")
LINEAR = (
    SHAPES
    | SUMS
    | _names(
        "AccumulateGrad Embedding Sum Mean Cat Stack ConstantPadNd ReflectionPad1D ReflectionPad2D ReplicationPad1D "
        "ReplicationPad2D Where Relu LeakyRelu PreluKernel Threshold MaxPool2DWithIndices MaxPool3DWithIndices "
        "AdaptiveMaxPool2D AvgPool2D AvgPool3D AdaptiveAvgPool2D AdaptiveAvgPool3D MkldnnAdaptiveAvgPool2D "
        "UpsampleBilinear2D UpsampleBicubic2D UpsampleNearest1D UpsampleNearest2D UpsampleNearestExact2D "
        "UpsampleLinear1D UpsampleBilinear2DAa UpsampleBicubic2DAa "
        "PixelShuffle PixelUnshuffle Im2Col Col2Im Max Min Amax Amin Maximum Minimum Abs Tril Triu Cumsum Scatter "
        "ScatterAdd IndexAdd IndexPut SelectScatter SliceScatter Topk Sort FftR2C FftC2R FftC2C Real "
        "SliceCopy Lift Trace MaskedSelect MaskedScatter Take"
    )
)
