"""Which operators TorchScript code may call: those of ``.pt2`` graphs in any overload, and what scripts need besides.

Scripts work on numbers, texts, lists and dictionaries too. Left out is what ``.pt2`` leaves out: files, other
processes, the host's memory, Python, and memory that nobody wrote. The names are those of torch 2.13.
"""

from __future__ import annotations

from workers.artifacts.pt2.operators import ATEN_OPERATORS, danger_of

#: ``torch.NAME`` is the operator ``aten::NAME``; Python's own names are operators on lists, texts and numbers.
_MORE = """
Bool Complex Float FloatImplicit Int IntImplicit ScalarImplicit Size __and__ __contains__ __derive_index __getitem__
__is__ __isnot__ __lshift__ __not__ __or__ __range_length __rshift__ __upsample __upsample_bilinear __upsample_nearest
__xor__ _convolution _convolution_mode _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _pad_circular
_pad_enum _set_item _shape_as_tensor _size_if_not_equal _stack _unwrap_optional _upsample_bicubic2d_aa
_upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
_upsample_nearest_exact3d abs_ absolute addbmm addcdiv_ addcmul_ addmm_ addmv addr adjoint allclose angle append
arccos arccosh arcsin arcsinh arctan arctan2 arctanh argwhere as_tensor atleast_1d atleast_2d atleast_3d bernoulli
bernoulli_ bilinear bincount bitwise_left_shift bitwise_right_shift block_diag broadcast_shapes broadcast_tensors
capitalize cartesian_prod chr clamp_max_ clamp_min_ clear clip_ column_stack combinations complex concatenate conj
conj_physical conv_tbc copysign cos_ cosine_embedding_loss count count_nonzero cpu cross ctc_loss cummax cummin
cumprod_ cumsum_ deg2rad degrees det device diagflat diagonal_scatter dict digamma dim dist divide divmod dsplit
dstack element_size endswith equal expm1_ exponential_ extend fabs factorial feature_alpha_dropout_ fill_diagonal_
find fliplr flipud float_power floor_ floordiv fmax fmin format fractional_max_pool2d fractional_max_pool3d frexp
frobenius_norm gamma ger get get_device greater greater_equal hash heaviside hinge_embedding_loss histc hsplit hypot
i0 igamma igammac imag index_copy index_fill index_fill_ inner insert inverse is_autocast_enabled is_complex
is_contiguous is_floating_point is_grad_enabled is_leaf is_nonzero is_same_size is_scripting is_signed isalnum isalpha
isclose isdecimal isdigit isin isneginf isnumeric isposinf isreal isspace istft item items join keys kron ldexp_ len
lerp_ less less_equal lgamma linalg_cross linalg_inv linalg_matmul linalg_solve list ljust log10_ log1p_ log2_
logaddexp2 logcumsumexp logical_and_ logical_not_ logical_or_ logspace lower lstrip mH mT margin_ranking_loss
masked_scatter_ masked_select mathremainder matrix_exp matrix_power max_unpool2d max_unpool3d meshgrid modf msort
multi_margin_loss multilabel_margin_loss multinomial multiply_ nanmean nanmedian nanquantile nansum narrow_copy
native_norm negative nll_loss2d nll_loss_nd nonzero nonzero_numpy normal normal_ not_equal numpy_T ord pad_sequence
pairwise_distance pdist percentFormat pinverse poisson_nll_loss polar polygamma pop popitem positive promote_types put
quantile rad2deg radians randint randint_like random_ randperm range ravel real remainder_ remove renorm replace
resolve_conj resolve_neg result_type reverse rot90 round_ row_stack rrelu_ rsplit rsqrt_ rstrip scatter_ scatter_add_
scatter_reduce searchsorted set_grad_enabled setdefault sgn signbit sin_ sinc slogdet soft_margin_loss sorted
splitlines startswith stft str stride strip subtract take tensor tensordot title to_dense to_padded_tensor trace tril_
triplet_margin_loss triu_ trunc_ unflatten_dense_tensors uniform_ unique_consecutive unique_dim unsafe_chunk
unsafe_split update upper values vander vdot view_as_complex view_as_real vsplit warn zfill
"""

_PRIM = """
NumToTensor Print RaiseException TupleIndex TupleUnpack Uninitialized abs data device dtype grad index is_cpu is_cuda
is_meta is_nested is_quantized is_sparse itemsize layout max min nbytes requires_grad tolist type unchecked_cast
unchecked_unwrap_optional
"""

#: Names behind ``torch.`` and ``ops.aten.``.
ATEN = frozenset(operator.split(".")[3] for operator in ATEN_OPERATORS) | frozenset(_MORE.split())

#: Names behind ``ops.prim.``.
PRIM = frozenset(_PRIM.split())

_DANGEROUS = {
    "aten.save": "writes a file of the host",
    "aten.set_data": "replaces the memory of a tensor",
    "aten.confirmed_by_owner": "reaches other processes or machines",
    "aten.to_here": "reaches other processes or machines",
    "prim.rpc_async": "reaches other processes or machines",
    "prim.rpc_remote": "reaches other processes or machines",
    "prim.rpc_sync": "reaches other processes or machines",
    "prim.PythonOp": "calls Python",
    "prim.IgnoredPythonOp": "calls Python",
}


def does_outside(namespace: str, name: str) -> str | None:
    """Say what an operator that is not taken is known to do; None for one that is not known."""
    known = _DANGEROUS.get(f"{namespace}.{name}")
    if known is not None or namespace == "prim":
        return known
    return danger_of(f"torch.ops.{namespace}.{name}.default")
