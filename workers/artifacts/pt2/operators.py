"""Which operators of a ``.pt2`` graph are taken: pure ATen operators by name and overload, and arithmetic on sizes.

What is listed computes its result from its arguments and, in training mode, from the random generator, and changes at
most its own tensor arguments. What reads or writes files, shares memory with the host, reads memory that nobody wrote
(``empty``), reaches storage by hand (``as_strided``, ``set_``, ``resize_``) or calls back into Python is not. The
overloads are those of torch 2.13.
"""

from __future__ import annotations

#: ``name`` alone is the overload ``default``; ``name:a,b`` are these overloads and no other.
_ATEN = """
_adaptive_avg_pool2d _assert_tensor_metadata _log_softmax _native_multi_head_attention _softmax _to_copy
_transformer_encoder_layer_fwd _unsafe_view _weight_norm _weight_norm_interface abs acos acosh adaptive_avg_pool1d
adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d
add:Tensor,Scalar add_:Tensor,Scalar addcdiv addcmul addmm affine_grid_generator alias alias_copy
all:default,dim,dims alpha_dropout alpha_dropout_ amax amin aminmax any:default,dim,dims
arange:default,start,start_step argmax argmin argsort:default,stable asin asinh atan atan2 atanh avg_pool1d
avg_pool2d avg_pool3d baddbmm batch_norm binary_cross_entropy binary_cross_entropy_with_logits
bitwise_and:Tensor,Scalar bitwise_not bitwise_or:Tensor,Scalar bitwise_xor:Tensor,Scalar bmm broadcast_to
bucketize:Tensor,Scalar cat cdist ceil ceil_ celu celu_ channel_shuffle chunk clamp:default,Tensor
clamp_:default,Tensor clamp_max:default,Tensor clamp_min:default,Tensor clip:default,Tensor clone col2im concat
constant_pad_nd contiguous conv1d:default,padding conv2d:default,padding conv3d:default,padding conv_transpose1d
conv_transpose2d:input conv_transpose3d:input convolution copy copy_ cos cosh cosine_similarity cross_entropy_loss
cumprod cumsum detach detach_ diag diag_embed diagonal diff div:Tensor,Scalar,Tensor_mode,Scalar_mode
div_:Tensor,Scalar,Tensor_mode,Scalar_mode dot dropout dropout_ einsum elu elu_ embedding
embedding_bag:default,padding_idx eq:Tensor,Scalar erf erfc erfinv exp exp2 exp_ expand expand_as expm1
eye:default,m feature_alpha_dropout feature_dropout feature_dropout_ fft_fft fft_irfft fft_rfft fill:Scalar,Tensor
fill_:Scalar,Tensor flatten:using_ints flip floor floor_divide:default,Scalar fmod:Tensor,Scalar frac full full_like
gather ge:Tensor,Scalar gelu gelu_ glu grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru:input gru_cell
gt:Tensor,Scalar hardshrink hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ hstack huber_loss
im2col index:Tensor index_put index_put_ index_select instance_norm isfinite isinf isnan kl_div kthvalue l1_loss
layer_norm ldexp:Tensor le:Tensor,Scalar leaky_relu leaky_relu_ lerp:Scalar,Tensor lift_fresh lift_fresh_copy
linalg_norm linalg_vector_norm linear linspace log log10 log1p log2 log_ log_sigmoid log_softmax:int logaddexp
logical_and logical_not logical_or logical_xor logit logsumexp lstm:input lstm_cell lt:Tensor,Scalar
masked_fill:Scalar,Tensor masked_fill_:Scalar,Tensor masked_scatter matmul max:other,default,dim max_pool1d
max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices maximum
mean:default,dim median:default,dim min:other,default,dim minimum mish mish_ mm moveaxis:intlist,int
movedim:int,intlist mse_loss mul:Tensor,Scalar mul_:Tensor,Scalar multiply:Tensor,Scalar mv nan_to_num narrow
native_batch_norm native_dropout native_group_norm native_layer_norm ne:Tensor,Scalar neg neg_ new_full new_ones
new_zeros nll_loss norm:Scalar,ScalarOpt_dim,ScalarOpt_dim_dtype,ScalarOpt_dtype numel one_hot ones ones_like outer
pad permute pixel_shuffle pixel_unshuffle pow:Tensor_Tensor,Tensor_Scalar,Scalar pow_:Scalar,Tensor prelu
prod:default,dim_int rand rand_like randn randn_like reciprocal reciprocal_ reflection_pad1d reflection_pad2d
reflection_pad3d relu relu6 relu6_ relu_ remainder:Tensor,Scalar repeat repeat_interleave:self_int replication_pad1d
replication_pad2d replication_pad3d reshape reshape_as rms_norm rnn_relu:input rnn_relu_cell rnn_tanh:input
rnn_tanh_cell roll round:default,decimals rrelu rsqrt rsub:Tensor,Scalar scalar_tensor scaled_dot_product_attention
scatter:value,src scatter_add select:int select_scatter selu selu_ sigmoid sigmoid_ sign silu silu_ sin sinh
size:int slice:Tensor slice_scatter smooth_l1_loss softmax:int softplus softshrink sort:default,stable
split:Tensor,sizes split_with_sizes sqrt sqrt_ square square_ squeeze:default,dim,dims squeeze_:default,dim,dims
stack std:default,dim,correction std_mean:default,dim,correction sub:Tensor,Scalar sub_:Tensor,Scalar
sum:dim_IntList,default swapaxes swapdims sym_numel sym_size:int sym_stride:int t take_along_dim tan tanh tanh_
tensor_split:sections,indices threshold threshold_ tile to:device,dtype,dtype_layout,other topk transpose:int
transpose_ tril triu true_divide:Tensor,Scalar trunc type_as unbind:int unflatten:int unfold unsqueeze unsqueeze_
upsample_bicubic2d:default,vec upsample_bilinear2d:default,vec upsample_linear1d:default,vec
upsample_nearest1d:default,vec upsample_nearest2d:default,vec upsample_nearest3d:default,vec
upsample_trilinear3d:default,vec var:default,dim,correction var_mean:default,dim,correction view:default,dtype
view_as view_copy vstack where:self,ScalarOther,ScalarSelf,Scalar xlogy:Tensor,Scalar_Other,Scalar_Self zero_ zeros
zeros_like
"""

#: Arithmetic on sizes: never on tensors, and never anything else of these modules (``operator.methodcaller`` ...).
SIZE_OPERATORS = frozenset(
    {
        *(f"_operator.{name}" for name in ("add", "sub", "mul", "floordiv", "truediv", "mod", "neg")),
        *(f"_operator.{name}" for name in ("eq", "ne", "lt", "le", "gt", "ge")),
        *("math.ceil", "math.floor", "math.trunc", "torch.sym_max", "torch.sym_min", "torch.sym_not"),
    }
)

#: ATen operators that are known to reach outside the model, with what they would do.
_DANGEROUS = {
    "from_file": "reads or writes a file of the host",
    "set_": "replaces the memory of a tensor",
    "resize_": "gives a tensor memory that nobody wrote",
    "resize_as_": "gives a tensor memory that nobody wrote",
    "as_strided": "reads memory beside a tensor",
    "as_strided_": "reads memory beside a tensor",
    "empty": "reads memory that nobody wrote",
    "empty_like": "reads memory that nobody wrote",
    "empty_strided": "reads memory that nobody wrote",
    "new_empty": "reads memory that nobody wrote",
    "new_empty_strided": "reads memory that nobody wrote",
    "_print": "prints",
    "record_stream": "reaches into the device",
    "is_pinned": "reaches into the device",
    "pin_memory": "reaches into the device",
    "_pin_memory": "reaches into the device",
}


def _overloads() -> frozenset[str]:
    names: set[str] = set()
    for word in _ATEN.split():
        name, _, overloads = word.partition(":")
        names.update(f"torch.ops.aten.{name}.{overload}" for overload in (overloads or "default").split(","))
    return frozenset(names)


ATEN_OPERATORS = _overloads()


def danger_of(target: str) -> str | None:
    """Say why an operator that is not listed is known to be harmful, or return None.

    An unlisted operator of ATen itself is not known to be harmful; everything outside ATen is.
    """
    namespace, _, rest = target.removeprefix("torch.ops.").partition(".")
    if not target.startswith("torch.ops.") or namespace != "aten":
        return "is no operator of ATen, so it would run code that the file names"
    return _DANGEROUS.get(rest.partition(".")[0])
