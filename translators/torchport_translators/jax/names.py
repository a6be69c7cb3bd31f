"""What torch names that are not calls become in JAX, as source text.

A name that is the same expression everywhere it stands; what is called is a rule instead.
"""

NAMES = {
    # Constants.
    "torch.pi": "jnp.pi",
    "torch.e": "jnp.e",
    "torch.inf": "jnp.inf",
    "torch.nan": "jnp.nan",
    "torch.newaxis": "jnp.newaxis",
    # Dtypes. JAX has 64-bit types only under `jax_enable_x64`; without it an int64 array is an int32
    # one, and asking for int64 warns at every call, so a port asks for what it gets. A float64 is
    # asked for on purpose, so it stays: the warning then tells the reader what to switch on.
    "torch.float16": "jnp.float16",
    "torch.half": "jnp.float16",
    "torch.bfloat16": "jnp.bfloat16",
    "torch.float32": "jnp.float32",
    "torch.float": "jnp.float32",
    "torch.float64": "jnp.float64",
    "torch.double": "jnp.float64",
    "torch.float8_e4m3fn": "jnp.float8_e4m3fn",
    "torch.float8_e5m2": "jnp.float8_e5m2",
    "torch.complex64": "jnp.complex64",
    "torch.cfloat": "jnp.complex64",
    "torch.complex128": "jnp.complex128",
    "torch.cdouble": "jnp.complex128",
    "torch.uint8": "jnp.uint8",
    "torch.uint16": "jnp.uint16",
    "torch.uint32": "jnp.uint32",
    "torch.uint64": "jnp.uint32",
    "torch.int8": "jnp.int8",
    "torch.int16": "jnp.int16",
    "torch.short": "jnp.int16",
    "torch.int32": "jnp.int32",
    "torch.int": "jnp.int32",
    "torch.int64": "jnp.int32",
    "torch.long": "jnp.int32",
    "torch.bool": "jnp.bool_",
    # Types, as annotations and in `isinstance`.
    "torch.Tensor": "jax.Array",
    "torch.FloatTensor": "jax.Array",
    "torch.DoubleTensor": "jax.Array",
    "torch.HalfTensor": "jax.Array",
    "torch.BFloat16Tensor": "jax.Array",
    "torch.ByteTensor": "jax.Array",
    "torch.CharTensor": "jax.Array",
    "torch.ShortTensor": "jax.Array",
    "torch.IntTensor": "jax.Array",
    "torch.LongTensor": "jax.Array",
    "torch.BoolTensor": "jax.Array",
    "torch.cuda.FloatTensor": "jax.Array",
    "torch.cuda.LongTensor": "jax.Array",
    "torch.dtype": "jnp.dtype",
    "torch.Size": "tuple",
    "torch.device": "jax.Device",
    "torch.types.Device": "jax.Device",
    "torch.nn.Module": "nnx.Module",
    "torch.nn.Parameter": "nnx.Param",
    "torch.nn.parameter.Parameter": "nnx.Param",
    "torch.nn.Buffer": "nnx.Variable",
}
