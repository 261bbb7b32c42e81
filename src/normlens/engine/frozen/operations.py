"""The closed list: the rule of every operation that a live tensor may pass through.

Each operation has one rule, and an operation that isn't in the table is an error. Names are those of the operation
without its in-place underscore: ``mul`` stands for ``torch.mul``, ``Tensor.mul``, ``Tensor.mul_``, ``*`` and ``*=``.
"""

from __future__ import annotations

from collections.abc import Mapping

from normlens.engine.frozen import hidden
from normlens.engine.frozen.fused_rules import (
    attention,
    batch_norm,
    gated_linear_unit,
    group_norm,
    layer_norm,
    multi_head_attention,
    normalize,
    rms_norm,
    sampled,
    spread_and_mean,
)
from normlens.engine.frozen.integrated import gated_product_of
from normlens.engine.frozen.rules import (
    Rule,
    activation,
    affine,
    broadcast,
    clamp,
    constant,
    dropout,
    einsum,
    extreme,
    gate,
    like,
    linear,
    power,
    product_of,
    quotient,
    selection,
    write,
)


def _each(names: str, rule: Rule) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


_TENSOR_METADATA = """
    shape dtype device layout ndim names itemsize nbytes size dim numel nelement stride storage_offset element_size
    is_cuda is_cpu is_meta is_mps is_xpu is_sparse is_quantized is_nested is_mkldnn is_leaf is_contiguous is_signed
    is_floating_point is_complex is_inference is_same_size requires_grad grad grad_fn get_device data_ptr result_type
    __len__ __hash__ __repr__ __format__
    zeros_like ones_like full_like empty_like rand_like randn_like new_zeros new_ones new_full new_empty new_tensor
"""
_COMPARISONS_AND_INDICES = """
    eq ne lt le gt ge equal isclose allclose isnan isinf isfinite isneginf isposinf isin any all
    logical_and logical_or logical_not logical_xor argmax argmin argsort nonzero count_nonzero bucketize searchsorted
    bincount histc one_hot bool int long short item tolist __bool__ __int__ __float__ __index__ __contains__
"""
_REARRANGEMENTS = """
    view reshape expand permute transpose swapaxes swapdims movedim moveaxis t T mT squeeze unsqueeze flatten unflatten
    ravel contiguous clone alias narrow select diagonal chunk split split_with_sizes tensor_split hsplit vsplit unbind
    unfold as_strided index_select gather take_along_dim masked_select roll flip fliplr flipud rot90 repeat
    repeat_interleave tile broadcast_to broadcast_tensors tril triu diag diag_embed type float half bfloat16 double cpu
    cuda real imag conj resolve_conj resolve_neg view_as_real view_as_complex complex positive pixel_shuffle
    pixel_unshuffle channel_shuffle fold im2col col2im embedding atleast_1d atleast_2d atleast_3d
    __getitem__ __iter__ __reversed__
"""
_COMBINATIONS = """
    cat concat concatenate stack hstack vstack dstack column_stack pad_sequence masked_scatter index_add index_copy
    index_put scatter scatter_add slice_scatter select_scatter diagonal_scatter block_diag
"""
_SUMS = """
    neg sum mean nanmean nansum cumsum diff trace avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d interpolate upsample fft_fft fft_fft2 fft_fftn fft_ifft fft_ifft2 fft_ifftn
    fft_rfft fft_rfft2 fft_rfftn fft_irfft fft_irfft2 fft_irfftn
"""
_ACTIVATIONS = """
    gelu relu relu6 silu mish elu selu celu leaky_relu prelu hardswish hardtanh tanh tanhshrink softsign softshrink
    hardshrink square abs
"""
_GATES = """
    softmax log_softmax softmin logsumexp sigmoid hardsigmoid logsigmoid log_sigmoid softplus erf erfc
    exp expm1 exp2 log log2 log10 log1p sqrt rsqrt reciprocal __rdiv__ __rpow__ sin cos
    norm vector_norm linalg_norm linalg_vector_norm var std
"""

RULES: Mapping[str, Rule] = {
    **_each(_TENSOR_METADATA, constant),
    **_each(_COMPARISONS_AND_INDICES, constant),
    **_each(_REARRANGEMENTS, linear),
    **_each("view_as reshape_as expand_as type_as to", like),
    **_each(_COMBINATIONS, linear),
    **_each(_SUMS, linear),
    **_each("add sub subtract rsub __rsub__ where", broadcast),
    **_each("masked_fill index_fill pad constant_pad_nd", affine),
    **_each("__setitem__ copy_ fill_ zero_", write),
    **_each("mul multiply __rmul__", gated_product_of("input", "other")),
    **_each("matmul inner tensordot __rmatmul__", product_of("input", "other")),
    **_each("mm bmm", product_of("input", "mat2")),
    **_each("mv outer", product_of("input", "vec")),
    **_each(
        "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d",
        product_of("input", "weight", "bias", terms=("bias",)),
    ),
    "addmm": product_of("input", "mat1", "mat2", terms=("input",)),
    **_each("addbmm baddbmm", product_of("input", "batch1", "batch2", terms=("input",))),
    "addcmul": product_of("input", "tensor1", "tensor2", terms=("input",)),
    "einsum": einsum,
    **_each("div divide true_divide", quotient),
    "linalg_solve_triangular": product_of("A", "B", fixed=("A",)),
    **_each(_ACTIVATIONS, activation),
    hidden.NAME: clamp,
    **_each("maximum minimum", extreme),
    **_each("clamp clip clamp_min clamp_max", clamp),
    **_each("pow __pow__ float_power", power),
    "glu": gated_linear_unit,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "normalize": normalize,
    **_each("var_mean std_mean", spread_and_mean),
    "scaled_dot_product_attention": attention,
    "multi_head_attention_forward": multi_head_attention,
    **_each(_GATES, gate),
    **_each("max min amax amin topk sort sign sgn floor ceil round trunc frac detach data", selection),
    "grid_sample": sampled,
    **_each("dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout", dropout),
}
"""Every operation that a live tensor may pass through, and its rule."""
