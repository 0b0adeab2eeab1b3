"""The operators that the code of a model may use without `trust_model`: arithmetic on tensors, and what Python has.

Exports of RAVE 1 to 3 and the pocket model use 111 of them; AFTER, vschaos2, MSPrior, Stable Audio Tools, music2latent
and PyTorch's own layers use others; the rest are of the same kind. What is not here is refused: operators that touch
files or networks, that do not check sizes or indices (`set_`, `embedding_bag`, `_sparse_...` and most names
that begin with an underscore), that make sparse, quantized or nested tensors, and the gradients (`..._backward`).
"""

_TENSORS = """
    Bool Complex ComplexImplicit Float FloatImplicit Int IntImplicit ScalarImplicit Size __and__ __contains__
    __derive_index __getitem__ __iand__ __ilshift__ __interpolate __ior__ __irshift__ __is__ __isnot__ __ixor__
    __lshift__ __not__ __or__ __range_length __round_to_zero_floordiv __rshift__ __upsample __xor__ _assert_async
    _convolution _get_tracing_state _infer_size _log_softmax _set_item _shape_as_tensor _softmax _unwrap_optional
    _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d _weight_norm abs abs_ absolute absolute_ acos acos_ acosh acosh_ adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add add_
    addbmm addbmm_ addcdiv addcdiv_ addcmul addcmul_ addmm addmm_ addmv addmv_ addr addr_ adjoint
    affine_grid_generator all allclose alpha_dropout alpha_dropout_ amax amin aminmax angle any arange arccos
    arccos_ arccosh arccosh_ arcsin arcsin_ arcsinh arcsinh_ arctan arctan2 arctan2_ arctan_ arctanh arctanh_ argmax
    argmin argsort argwhere as_strided as_tensor asin asin_ asinh asinh_ atan atan2 atan2_ atan_ atanh atanh_
    atleast_1d atleast_2d atleast_3d avg_pool1d avg_pool2d avg_pool3d baddbmm baddbmm_ bartlett_window batch_norm
    bernoulli bernoulli_ bilinear binary_cross_entropy binary_cross_entropy_with_logits bincount binomial
    bitwise_and bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_not bitwise_not_ bitwise_or bitwise_or_
    bitwise_right_shift bitwise_right_shift_ bitwise_xor bitwise_xor_ blackman_window block_diag bmm
    broadcast_tensors broadcast_to bucketize can_cast cartesian_prod cat cauchy_ cdist ceil ceil_ celu celu_
    chain_matmul chalf channel_shuffle cholesky chunk clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clip
    clip_ clone col2im column_stack combinations complex concat concatenate conj conj_physical conj_physical_
    constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution
    copy_ copysign copysign_ corrcoef cos cos_ cosh cosh_ cosine_embedding_loss cosine_similarity count_nonzero cov
    cpu cross cross_entropy_loss cuda cummax cummin cumprod cumprod_ cumsum cumsum_ cumulative_trapezoid data
    deg2rad deg2rad_ degrees dequantize det detach detach_ device diag diag_embed diagflat diagonal diagonal_scatter
    diff digamma digamma_ dim dist div div_ divide divide_ divmod dot dropout dropout_ dsplit dstack einsum
    element_size elu elu_ embedding empty empty_like eq eq_ equal erf erf_ erfc erfc_ erfinv erfinv_ exp exp2 exp2_
    exp_ expand expand_as expm1 expm1_ exponential exponential_ eye fabs factorial feature_alpha_dropout
    feature_alpha_dropout_ feature_dropout feature_dropout_ fft_fft fft_fft2 fft_fftfreq fft_fftn fft_fftshift
    fft_hfft fft_hfft2 fft_hfftn fft_ifft fft_ifft2 fft_ifftn fft_ifftshift fft_ihfft fft_ihfft2 fft_ihfftn
    fft_irfft fft_irfft2 fft_irfftn fft_rfft fft_rfft2 fft_rfftfreq fft_rfftn fill fill_ fill_diagonal_ fix fix_
    flatten flip fliplr flipud float_power float_power_ floor floor_ floor_divide floor_divide_ floordiv fmax fmin
    fmod fmod_ frac frac_ frexp frobenius_norm full full_like gamma gather gcd gcd_ ge ge_ gelu gelu_ geometric_ ger
    get_device glu grad gradient greater greater_ greater_equal greater_equal_ grid_sampler grid_sampler_2d
    grid_sampler_3d group_norm gru gru_cell gt gt_ hamming_window hann_window hardshrink hardsigmoid hardsigmoid_
    hardswish hardswish_ hardtanh hardtanh_ heaviside heaviside_ hinge_embedding_loss histc hsplit hstack huber_loss
    hypot hypot_ i0 i0_ igamma igamma_ igammac igammac_ im2col imag index_add index_add_ index_copy index_copy_
    index_fill index_fill_ index_put index_put_ index_reduce index_reduce_ index_select indices initial_seed inner
    instance_norm inverse is_autocast_enabled is_complex is_conj is_contiguous is_floating_point is_grad_enabled
    is_leaf is_neg is_nonzero is_scripting is_signed isclose isfinite isin isinf isnan isneginf isposinf isreal
    istft item kaiser_window kl_div kron kthvalue l1_loss layer_norm lcm lcm_ ldexp ldexp_ le le_ leaky_relu
    leaky_relu_ lerp lerp_ less less_ less_equal less_equal_ lgamma lgamma_ linalg_cholesky linalg_cholesky_ex
    linalg_cond linalg_cross linalg_det linalg_diagonal linalg_eig linalg_eigh linalg_eigvals linalg_eigvalsh
    linalg_inv linalg_inv_ex linalg_lstsq linalg_lu linalg_lu_factor linalg_lu_factor_ex linalg_matmul
    linalg_matrix_exp linalg_matrix_norm linalg_matrix_power linalg_matrix_rank linalg_multi_dot linalg_norm
    linalg_pinv linalg_qr linalg_slogdet linalg_solve linalg_solve_ex linalg_solve_triangular linalg_svd
    linalg_svdvals linalg_tensorinv linalg_tensorsolve linalg_vander linalg_vecdot linalg_vector_norm linear
    linspace log log10 log10_ log1p log1p_ log2 log2_ log_ log_normal_ log_sigmoid log_softmax logaddexp logaddexp2
    logcumsumexp logdet logical_and logical_and_ logical_not logical_not_ logical_or logical_or_ logical_xor
    logical_xor_ logit logit_ logspace logsumexp lstm lstm_cell lt lt_ mH mT manual_seed margin_ranking_loss
    masked_fill masked_fill_ masked_scatter masked_scatter_ masked_select mathremainder matmul matrix_H matrix_exp
    matrix_power max max_pool1d max_pool1d_with_indices max_pool2d max_pool3d maximum mean median meshgrid min
    minimum mish mish_ mm mode modf moveaxis movedim mse_loss msort mul mul_ multinomial multiply multiply_ mv
    mvlgamma mvlgamma_ nan_to_num nan_to_num_ nanmean nanmedian nanquantile nansum narrow narrow_copy ne ne_ neg
    neg_ negative negative_ new_empty new_full new_ones new_zeros nextafter nextafter_ nll_loss nll_loss_nd nonzero
    nonzero_numpy norm normal normal_ not_equal not_equal_ nuclear_norm numel numpy_T one_hot ones ones_like outer
    pad pad_sequence pairwise_distance permute pinverse pixel_shuffle pixel_unshuffle poisson poisson_nll_loss polar
    polygamma polygamma_ positive pow pow_ prelu prod promote_types put put_ qr quantile rad2deg rad2deg_ radians
    rand rand_like randint randint_like randn randn_like random random_ randperm range ravel real reciprocal
    reciprocal_ reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 relu6_ relu_ remainder remainder_
    renorm renorm_ repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d requires_grad_
    reshape reshape_as resize_ resize_as_ resolve_conj resolve_neg result_type retain_grad rms_norm rnn_relu
    rnn_relu_cell rnn_tanh rnn_tanh_cell roll rot90 round round_ row_stack rrelu rrelu_ rsqrt rsqrt_ rsub
    scalar_tensor scaled_dot_product_attention scatter scatter_ scatter_add scatter_add_ scatter_reduce
    scatter_reduce_ searchsorted seed select select_scatter selu selu_ set_grad_enabled sgn sgn_ sigmoid sigmoid_
    sign sign_ signbit silu silu_ sin sin_ sinc sinc_ sinh sinh_ size slice slice_scatter slogdet smooth_l1_loss
    soft_margin_loss softmax softplus softshrink sort special_digamma special_entr special_erf special_erfc
    special_erfcx special_erfinv special_exp2 special_expit special_expm1 special_gammainc special_gammaincc
    special_gammaln special_i0 special_i0e special_i1 special_i1e special_log1p special_log_ndtr special_log_softmax
    special_logit special_logsumexp special_multigammaln special_ndtr special_ndtri special_polygamma special_psi
    special_round special_sinc special_softmax special_xlog1py special_xlogy special_zeta split_with_sizes sqrt
    sqrt_ square square_ squeeze squeeze_ stack std std_mean stft storage_offset stride sub sub_ subtract subtract_
    sum sum_to_size svd swapaxes swapaxes_ swapdims swapdims_ t t_ take take_along_dim tan tan_ tanh tanh_ tensor
    tensor_split tensordot threshold threshold_ tile to topk trace transpose transpose_ trapezoid trapz
    triangular_solve tril tril_ tril_indices triplet_margin_loss triu triu_ triu_indices true_divide true_divide_
    trunc trunc_ type_as unbind unflatten unfold uniform uniform_ unique_consecutive unique_dim
    unique_dim_consecutive unsqueeze unsqueeze_ upsample_bicubic2d upsample_bilinear2d upsample_linear1d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d vander var var_mean vdot view
    view_as view_as_complex view_as_real vsplit vstack wait warn where xlogy xlogy_ zero zero_ zeros zeros_like
"""

_STRINGS_AND_CONTAINERS = """
    append bin capitalize center chr clear copy count dict endswith expandtabs extend find format get hex index
    insert isalnum isalpha isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle isupper
    items join keys len list ljust lower lstrip oct ord partition percentFormat pop popitem remove replace reverse
    rfind rindex rjust rpartition rsplit rstrip set setdefault sorted split splitlines startswith str strip swapcase
    title update upper values zfill
"""

_PRIM = """
    EnumName EnumValue ModuleContainerIndex NumToTensor Print RaiseException StringIndex TupleIndex TupleUnpack
    Uninitialized abs data device dtype grad id index is_cpu is_cuda is_ipu is_maia is_meta is_mkldnn is_mps is_mtia
    is_nested is_quantized is_sparse is_sparse_csr is_vulkan is_xla is_xpu itemsize layout max min name nbytes
    rangelist requires_grad tolist type unchecked_cast unchecked_unwrap_optional
"""

ATEN = frozenset(f"{_TENSORS} {_STRINGS_AND_CONTAINERS}".split())  # torch.NAME and x.NAME
PRIM = frozenset(_PRIM.split())  # ops.prim.NAME, and what Python itself has: print, abs, min, ...
