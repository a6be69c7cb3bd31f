"""What JAX has no equivalent of: why, and what to do instead, by the reason. A call stays as it was."""

ABSENT = {
    "JAX computes with dense arrays; for sparse ones see jax.experimental.sparse "
    "(BCOO.fromdense, bcoo_dot_general)": (
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
    "an nnx layer has its weights from the start: make the layer with the size of its input": (
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
    "an array of JAX has no strides, storage or address that a program could read": (
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
    "an array of JAX carries no graph; jax.grad and nnx.grad differentiate functions": (
        "torch.Tensor.is_leaf",
        "torch.Tensor.output_nr",
        "torch.Tensor.retains_grad",
        "torch.Tensor.register_post_accumulate_grad_hook",
    ),
    "JAX has no symmetric indefinite (LDL) decomposition; jnp.linalg.solve and jnp.linalg.eigh "
    "take such matrices": (
        "torch.linalg.ldl_factor",
        "torch.linalg.ldl_factor_ex",
        "torch.linalg.ldl_solve",
    ),
    "JAX has no complex numbers of half precision; jnp.complex64 is the smallest": (
        "torch.Tensor.chalf",
    ),
    "JAX has no hash of an array; jax.lax.reduce_xor takes integers": (
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
    "a Python function of each element does not compile; write it with jnp, or use jax.vmap": (
        "torch.Tensor.apply_",
        "torch.Tensor.map_",
        "torch.Tensor.map2_",
    ),
    "gradients are values in JAX (what jax.grad returns): optax.clip_by_global_norm and "
    "optax.clip clip them in the optimizer, optax.global_norm measures them": (
        "torch.nn.utils.clip_grad_norm_",
        "torch.nn.utils.clip_grad_norm",
        "torch.nn.utils.clip_grad_value_",
        "torch.nn.utils.clip_grads_with_norm_",
        "torch.nn.utils.get_total_norm",
        "torch.nn.utils.clip_grad.clip_grad_norm_",
        "torch.nn.utils.clip_grad.clip_grad_value_",
    ),
    "flax keeps kernels in another axis order than torch, so the vector would be another; "
    "jax.flatten_util.ravel_pytree(nnx.state(module, nnx.Param)) makes one, and its inverse": (
        "torch.nn.utils.parameters_to_vector",
        "torch.nn.utils.vector_to_parameters",
    ),
    "XLA fuses operations when it compiles, so nothing has to be fused by hand; at inference a "
    "normalisation can be folded into the kernel before it": (
        "torch.nn.utils.fuse_conv_bn_eval",
        "torch.nn.utils.fuse_conv_bn_weights",
        "torch.nn.utils.fuse_linear_bn_eval",
        "torch.nn.utils.fuse_linear_bn_weights",
    ),
    "flax draws parameters when a module is built; nnx.eval_shape builds one without memory": (
        "torch.nn.utils.skip_init",
    ),
    "the port computes the weight in each call; put it into a plain layer by hand": (
        "torch.nn.utils.remove_weight_norm",
        "torch.nn.utils.remove_spectral_norm",
    ),
    "there are no parametrizations that flax would apply: compute the parameter from others in "
    "`__call__`, or wrap the layer in nnx.WeightNorm or nnx.SpectralNorm": (
        "torch.nn.utils.parametrize.register_parametrization",
        "torch.nn.utils.parametrize.remove_parametrizations",
        "torch.nn.utils.parametrize.is_parametrized",
        "torch.nn.utils.parametrize.cached",
        "torch.nn.utils.parametrizations.orthogonal",
    ),
    "XLA chooses the layout of arrays itself": (
        "torch.nn.utils.convert_conv2d_weight_memory_format",
        "torch.nn.utils.convert_conv3d_weight_memory_format",
    ),
    "JAX has no global random state to save or restore: keep the key, or the nnx.Rngs, that the "
    "numbers are drawn from": (
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
    "a JAX seed is chosen by the program: nnx.Rngs(secrets.randbits(32))": (
        "torch.seed",
        "torch.random.seed",
    ),
    "JAX has no global seed; keep the number that nnx.Rngs was made from": (
        "torch.initial_seed",
        "torch.random.initial_seed",
    ),
    "whether something is differentiated is not known inside a JAX function; what must not be "
    "is stopped by jax.lax.stop_gradient": (
        "torch.is_grad_enabled",
        "torch.is_inference_mode_enabled",
        "torch.is_inference",
        "torch.Tensor.is_inference",
    ),
    "JAX has jax.debug_nans, and no mode to ask for": ("torch.is_anomaly_enabled",),
    "XLA chooses its threads; os.cpu_count() says how many there may be": (
        "torch.get_num_threads",
        "torch.get_num_interop_threads",
    ),
    "XLA has no such mode; it is deterministic on CPU": (
        "torch.are_deterministic_algorithms_enabled",
    ),
    "floats are float32 in JAX; for float64 set jax.config.update('jax_enable_x64', True) and "
    "give the dtype where an array is made": ("torch.set_default_dtype",),
    "jax.config.update('jax_default_device', jax.devices('cpu')[0])": ("torch.set_default_device",),
    "floats are float32 in JAX; give the dtype where an array is made": (
        "torch.set_default_tensor_type",
    ),
    "JAX differentiates functions: put what computes the outputs into a function of the inputs, "
    "and take jax.grad (of a scalar) or jax.vjp (with grad_outputs) of it": (
        "torch.autograd.grad",
    ),
    "JAX differentiates functions: put what computes the loss into a function, and take "
    "jax.grad or jax.value_and_grad of it": (
        "torch.autograd.backward",
        "torch.Tensor.backward",
    ),
    "jax.test_util.check_grads checks a function's derivatives": ("torch.autograd.gradcheck",),
    "jax.test_util.check_grads(f, args, order=2)": ("torch.autograd.gradgradcheck",),
    "forward-mode derivatives are a transform of a function in JAX: jax.jvp": (
        "torch.autograd.forward_ad.dual_level",
        "torch.autograd.forward_ad.make_dual",
        "torch.autograd.forward_ad.unpack_dual",
    ),
    "what is kept for the gradient is chosen by jax.checkpoint and its policy": (
        "torch.autograd.graph.saved_tensors_hooks",
    ),
    "it has been a tensor since torch 0.4: use the array itself": ("torch.autograd.Variable",),
    "a gradient on its way back is changed by a function with jax.custom_vjp": (
        "torch.Tensor.register_hook",
    ),
    "a JAX array has no graph behind it; derivatives are transforms of functions (jax.vjp)": (
        "torch.Tensor.retain_grad",
        "torch.Tensor.grad_fn",
    ),
    "take the module apart by nnx.split(model) and call nnx.merge(graphdef, state)(x) with the "
    "state in place of its own": (
        "torch.func.functional_call",
        "torch.nn.utils.stateless.functional_call",
    ),
    "build the modules by nnx.vmap over their random keys, which stacks their states": (
        "torch.func.stack_module_state",
    ),
    "running statistics are nnx.BatchStat variables: leave them out of the transform by "
    "nnx.split(model, nnx.Param, ...)": ("torch.func.replace_all_batch_norm_modules_",),
    "what a JAX transform traces has no value: jax.debug.print shows it": (
        "torch.func.debug_unwrap",
    ),
    "gradients are switched for a block in a port: write `with torch.set_grad_enabled(mode):`": (
        "torch.set_grad_enabled",
        "torch.autograd.set_grad_enabled",
    ),
    "its step calls a closure until a line search is content; optax.lbfgs() takes the loss and its "
    "function in update(grads, state, params, value=, grad=, value_fn=), and searches otherwise": (
        "torch.optim.LBFGS",
    ),
    "an optimizer of one's own is an optax.GradientTransformation in JAX: init(params) makes its state, "
    "update(grads, state, params) gives the steps": ("torch.optim.Optimizer",),
    "an average of weights is a second tree of them in JAX: "
    "average = optax.incremental_update(nnx.state(model, nnx.Param), average, 1 - decay)": (
        "torch.optim.swa_utils.AveragedModel",
        "torch.optim.swa_utils.update_bn",
        "torch.optim.swa_utils.get_ema_avg_fn",
        "torch.optim.swa_utils.get_ema_multi_avg_fn",
        "torch.optim.swa_utils.get_swa_avg_fn",
        "torch.optim.swa_utils.get_swa_multi_avg_fn",
    ),
}
