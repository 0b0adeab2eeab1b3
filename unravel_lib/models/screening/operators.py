"""The operators that the code of a model may use without `trust_model`.

They are those that exports of RAVE 1 to 3, AFTER, Stable Audio Tools, vschaos2, MSPrior and the pocket model use
(`tests/models/measure_operators.py` lists them), and plain arithmetic, reductions and views that check what they are
given. What is not here is refused: operators that touch files or networks, gradients, and kernels that trust the sizes
or indices that they are given.
"""

_TENSORS = """
    Bool Complex Float FloatImplicit Int IntImplicit ScalarImplicit Size __and__ __contains__ __derive_index __getitem__
    __iand__ __ior__ __is__ __isnot__ __ixor__ __lshift__ __not__ __or__ __range_length __rshift__ __xor__ _set_item
    _unwrap_optional abs abs_ acos acos_ acosh add add_ addmm all amax amin angle any arange argmax argmin as_strided
    asin asinh atan atan2 atan2_ atanh batch_norm bitwise_and bitwise_not bitwise_or bitwise_xor bmm broadcast_tensors
    broadcast_to cat ceil ceil_ chunk clamp clamp_ clamp_max clamp_min clip clone complex conj contiguous conv1d
    conv_transpose1d copy_ cos cos_ cosh count_nonzero cumprod cumsum deg2rad detach diagonal dim div div_ divide divmod
    dot dropout dropout_ einsum elu elu_ embedding empty empty_like eq equal erf erfinv exp exp2 exp_ expand expand_as
    expm1 exponential_ fabs fft_fft fft_ifft fft_irfft fft_rfft fill_ flatten flip floor floor_ floor_divide floordiv
    fmod frac full full_like gamma ge gelu glu group_norm gt hann_window hardswish hardswish_ hardtanh hstack hypot imag
    index index_add index_put_ index_select inverse is_complex is_contiguous is_floating_point is_grad_enabled isclose
    isfinite isinf isnan item layer_norm le leaky_relu leaky_relu_ lerp lerp_ linear linspace log log10 log1p log2 log_
    log_sigmoid log_softmax logaddexp logical_and logical_not logical_or logical_xor logsumexp lt masked_fill
    masked_fill_ matmul max maximum mean min minimum mish mish_ mm mode moveaxis movedim mse_loss mul mul_ mv nan_to_num
    nan_to_num_ nanmean nansum narrow ne neg neg_ new_full new_ones new_zeros nonzero norm normal normal_ numel numpy_T
    one_hot ones ones_like outer pad permute polar pow pow_ prelu prod rad2deg rand rand_like randint randn randn_like
    randperm ravel real reciprocal reciprocal_ relu relu6 relu_ remainder repeat reshape reshape_as resolve_conj roll
    round round_ rsqrt rsub scalar_tensor select selu set_grad_enabled sgn sigmoid sigmoid_ sign sign_ silu silu_ sin
    sin_ sinh size slice softmax softplus softshrink split split_with_sizes sqrt sqrt_ square squeeze stack std std_mean
    stride sub sub_ subtract sum t tan tanh tanh_ tensor tensor_split tile to transpose trunc type_as unbind unflatten
    unfold uniform_ unsqueeze var var_mean view view_as view_as_complex view_as_real vstack warn where xlogy zero_ zeros
    zeros_like
"""

_STRINGS_AND_CONTAINERS = """
    append clear copy count dict endswith extend find format get insert items join keys len list lower percentFormat pop
    remove replace reverse sort sorted startswith str strip update upper values
"""

_PRIM = """
    NumToTensor RaiseException abs data device dtype id index layout max min name type
"""

ATEN = frozenset(f"{_TENSORS} {_STRINGS_AND_CONTAINERS}".split())  # torch.NAME and x.NAME
PRIM = frozenset(_PRIM.split())  # ops.prim.NAME, and what Python itself has: print, abs, min, ...
COUNTED = "repeat_interleave"  # is allowed with a number; it does not check a tensor of counts
