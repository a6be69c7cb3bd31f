"""What MLX has no equivalent of: why, and what to do instead, by the reason. A call stays as it was."""

ABSENT = {
    "MLX computes with dense arrays; keep the values of a sparse one beside their indices, and "
    "sum products by row with `mx.zeros(...).at[rows].add(...)`": (
        "torch.sparse_coo_tensor",
        "torch.sparse_csr_tensor",
        "torch.sparse_csc_tensor",
        "torch.sparse_bsr_tensor",
        "torch.sparse_bsc_tensor",
        "torch.sparse_compressed_tensor",
        "torch.hsmm",
        "torch.hspmm",
        "torch.dsmm",
        "torch.saddmm",
        "torch.smm",
        "torch.spmm",
        "torch.sspaddmm",
        "torch.resize_as_sparse_",
        "torch.sparse.addmm",
        "torch.sparse.sampled_addmm",
        "torch.sparse.sum",
        "torch.sparse.softmax",
        "torch.sparse.log_softmax",
        "torch.Tensor.to_sparse",
        "torch.Tensor.to_sparse_coo",
        "torch.Tensor.to_sparse_csr",
        "torch.Tensor.to_sparse_csc",
        "torch.Tensor.to_sparse_bsr",
        "torch.Tensor.to_sparse_bsc",
        "torch.Tensor.to_padded_tensor",
        "torch.Tensor.sparse_mask",
        "torch.Tensor.sparse_resize_",
        "torch.Tensor.sparse_resize_and_clear_",
        "torch.Tensor.sparse_dim",
        "torch.Tensor.dense_dim",
        "torch.Tensor.coalesce",
        "torch.Tensor.indices",
        "torch.Tensor.values",
        "torch.Tensor.crow_indices",
        "torch.Tensor.col_indices",
        "torch.Tensor.ccol_indices",
        "torch.Tensor.row_indices",
        "torch.Tensor.resize_as_sparse_",
        "torch.Tensor.smm",
        "torch.Tensor.sspaddmm",
        "torch.optim.SparseAdam",
    ),
    "a layer of MLX has its weights from the start: make the layer with the size of its input": (
        "torch.nn.LazyLinear",
        "torch.nn.LazyConv1d",
        "torch.nn.LazyConv2d",
        "torch.nn.LazyConv3d",
        "torch.nn.LazyConvTranspose1d",
        "torch.nn.LazyConvTranspose2d",
        "torch.nn.LazyConvTranspose3d",
        "torch.nn.LazyBatchNorm1d",
        "torch.nn.LazyBatchNorm2d",
        "torch.nn.LazyBatchNorm3d",
        "torch.nn.LazyInstanceNorm1d",
        "torch.nn.LazyInstanceNorm2d",
        "torch.nn.LazyInstanceNorm3d",
        "torch.nn.UninitializedParameter",
        "torch.nn.UninitializedBuffer",
    ),
    "an array of MLX has no strides, storage or address that a program could read": (
        "torch.Tensor.stride",
        "torch.Tensor.storage_offset",
        "torch.Tensor.storage",
        "torch.Tensor.untyped_storage",
        "torch.Tensor.storage_type",
        "torch.Tensor.data_ptr",
        "torch.Tensor.const_data_ptr",
        "torch.Tensor.dim_order",
        "torch.Tensor.set_",
        "torch.Tensor.is_set_to",
        "torch.Tensor.layout",
    ),
    "an array of MLX carries no graph; mx.grad and nn.value_and_grad differentiate functions": (
        "torch.Tensor.is_leaf",
        "torch.Tensor.output_nr",
        "torch.Tensor.retains_grad",
        "torch.Tensor.register_post_accumulate_grad_hook",
    ),
    "MLX has no symmetric indefinite (LDL) decomposition; mx.linalg.solve and mx.linalg.eigh take "
    "such matrices": (
        "torch.linalg.ldl_factor",
        "torch.linalg.ldl_factor_ex",
        "torch.linalg.ldl_solve",
    ),
    "MLX has no complex numbers of half precision; mx.complex64 is the smallest": (
        "torch.Tensor.chalf",
    ),
    "MLX has no hash of an array; `hash(bytes(memoryview(x)))` is one in Python": (
        "torch.hash_tensor",
        "torch.Tensor.hash_tensor",
    ),
    "torch itself has removed it; torch.linalg has what took its place": (
        "torch.eig",
        "torch.symeig",
        "torch.solve",
        "torch.lstsq",
        "torch.matrix_rank",
        "torch.Tensor.eig",
        "torch.Tensor.symeig",
        "torch.Tensor.solve",
        "torch.Tensor.lstsq",
    ),
    "a Python function of each element would be called for each; write it with mx, or use mx.vmap": (
        "torch.Tensor.apply_",
        "torch.Tensor.map_",
        "torch.Tensor.map2_",
    ),
    "gradients are values in MLX (what nn.value_and_grad returns): mlx.optimizers.clip_grad_norm "
    "clips them and gives their norm, mlx.utils.tree_map with mx.clip bounds each": (
        "torch.nn.utils.clip_grad_norm_",
        "torch.nn.utils.clip_grad_norm",
        "torch.nn.utils.clip_grad_value_",
        "torch.nn.utils.clip_grads_with_norm_",
        "torch.nn.utils.get_total_norm",
        "torch.nn.utils.clip_grad.clip_grad_norm_",
        "torch.nn.utils.clip_grad.clip_grad_value_",
    ),
    "MLX keeps weights of convolutions in another axis order than torch, so the vector would be "
    "another; mx.concatenate([p.flatten() for _, p in tree_flatten(model.parameters())]) makes "
    "one": (
        "torch.nn.utils.parameters_to_vector",
        "torch.nn.utils.vector_to_parameters",
    ),
    "mx.compile fuses operations, so nothing has to be fused by hand; at inference a "
    "normalisation can be folded into the weight before it": (
        "torch.nn.utils.fuse_conv_bn_eval",
        "torch.nn.utils.fuse_conv_bn_weights",
        "torch.nn.utils.fuse_linear_bn_eval",
        "torch.nn.utils.fuse_linear_bn_weights",
    ),
    "MLX is lazy: what a module draws costs nothing until it is used or evaluated": (
        "torch.nn.utils.skip_init",
    ),
    "the port computes the weight in each call; put it into a plain layer by hand": (
        "torch.nn.utils.remove_weight_norm",
        "torch.nn.utils.remove_spectral_norm",
    ),
    "there are no parametrizations that MLX would apply: compute the parameter from others in "
    "`__call__`": (
        "torch.nn.utils.parametrize.register_parametrization",
        "torch.nn.utils.parametrize.remove_parametrizations",
        "torch.nn.utils.parametrize.is_parametrized",
        "torch.nn.utils.parametrize.cached",
        "torch.nn.utils.parametrizations.orthogonal",
    ),
    "an array of MLX has one layout; its convolutions have the channels last": (
        "torch.nn.utils.convert_conv2d_weight_memory_format",
        "torch.nn.utils.convert_conv3d_weight_memory_format",
    ),
    "MLX does not put a random state back: where numbers must come again draw them with a key, "
    "mx.random.normal(shape, key=mx.random.key(seed))": (
        "torch.get_rng_state",
        "torch.set_rng_state",
        "torch.random.get_rng_state",
        "torch.random.set_rng_state",
        "torch.random.fork_rng",
        "torch.cuda.get_rng_state",
        "torch.cuda.set_rng_state",
        "torch.cuda.get_rng_state_all",
        "torch.cuda.set_rng_state_all",
    ),
    "a seed of MLX is chosen by the program: mx.random.seed(secrets.randbits(32))": (
        "torch.seed",
        "torch.random.seed",
    ),
    "MLX does not keep the seed; keep the number that mx.random.seed was given": (
        "torch.initial_seed",
        "torch.random.initial_seed",
    ),
    "whether something is differentiated is not known inside a function of MLX; what must not be "
    "is stopped by mx.stop_gradient": (
        "torch.is_grad_enabled",
        "torch.is_inference_mode_enabled",
        "torch.is_inference",
        "torch.Tensor.is_inference",
    ),
    "MLX has no mode that looks for nan: test a result with mx.isnan(x).any()": (
        "torch.is_anomaly_enabled",
    ),
    "MLX chooses its threads; os.cpu_count() says how many there may be": (
        "torch.get_num_threads",
        "torch.get_num_interop_threads",
    ),
    "MLX has no such mode": ("torch.are_deterministic_algorithms_enabled",),
    "floats are float32 in MLX; give the dtype where an array is made (float64 runs on the CPU "
    "only)": ("torch.set_default_dtype",),
    "mx.set_default_device(mx.cpu)": ("torch.set_default_device",),
    "floats are float32 in MLX; give the dtype where an array is made": (
        "torch.set_default_tensor_type",
    ),
    "MLX differentiates functions: put what computes the outputs into a function of the inputs, "
    "and take mx.grad (of a scalar) or mx.vjp (with grad_outputs) of it": ("torch.autograd.grad",),
    "MLX differentiates functions: put what computes the loss into a function, and take mx.grad "
    "or nn.value_and_grad of it": (
        "torch.autograd.backward",
        "torch.Tensor.backward",
    ),
    "MLX has no such check: compare mx.grad with differences of the function at `x + eps` and `x "
    "- eps`": ("torch.autograd.gradcheck",),
    "MLX has no such check: compare mx.grad of mx.grad with differences of the gradient": (
        "torch.autograd.gradgradcheck",
    ),
    "forward-mode derivatives are a transform of a function in MLX: mx.jvp": (
        "torch.autograd.forward_ad.dual_level",
        "torch.autograd.forward_ad.make_dual",
        "torch.autograd.forward_ad.unpack_dual",
    ),
    "what is kept for the gradient is chosen by mx.checkpoint, which computes the rest again": (
        "torch.autograd.graph.saved_tensors_hooks",
    ),
    "it has been a tensor since torch 0.4: use the array itself": ("torch.autograd.Variable",),
    "a gradient on its way back is changed by a function with mx.custom_function and its vjp": (
        "torch.Tensor.register_hook",
    ),
    "an array of MLX has no graph behind it; derivatives are transforms of functions (mx.vjp)": (
        "torch.Tensor.retain_grad",
        "torch.Tensor.grad_fn",
    ),
    "give the module the arrays by `model.update(tree_unflatten(list(state.items())))` and call "
    "it": (
        "torch.func.functional_call",
        "torch.nn.utils.stateless.functional_call",
    ),
    "stack the modules' arrays: tree_map(lambda *arrays: mx.stack(arrays), *(m.parameters() for m "
    "in models)), and call one under mx.vmap with them": ("torch.func.stack_module_state",),
    "running statistics are arrays of the module that are frozen: call the module in evaluation": (
        "torch.func.replace_all_batch_norm_modules_",
    ),
    "what a transform of MLX traces has no value: print it outside of the transform": (
        "torch.func.debug_unwrap",
    ),
    "gradients are switched for a block in a port: write `with torch.set_grad_enabled(mode):`": (
        "torch.set_grad_enabled",
        "torch.autograd.set_grad_enabled",
    ),
    "its step calls a closure until a line search is content; MLX has no such optimizer": (
        "torch.optim.LBFGS",
    ),
    "an optimizer of one's own is an mlx.optimizers.Optimizer in MLX: init_single(parameter, state) makes "
    "its state, apply_single(gradient, parameter, state) gives the new parameter": (
        "torch.optim.Optimizer",
    ),
    "an average of weights is a second tree of them in MLX: average = tree_map("
    "lambda a, p: decay * a + (1 - decay) * p, average, model.parameters())": (
        "torch.optim.swa_utils.AveragedModel",
        "torch.optim.swa_utils.update_bn",
        "torch.optim.swa_utils.get_ema_avg_fn",
        "torch.optim.swa_utils.get_ema_multi_avg_fn",
        "torch.optim.swa_utils.get_swa_avg_fn",
        "torch.optim.swa_utils.get_swa_multi_avg_fn",
    ),
}
