"""Settings of torch's runtime: what changes no value falls away, and the port says so.

Before:
    import torch

    torch.set_num_threads(4)
    torch.backends.cudnn.benchmark = True

    def double(x: torch.Tensor):
        with torch.autograd.set_detect_anomaly(True):
            y = torch.exp(x)
        torch.cuda.empty_cache()
        return y * 2
After (jax):
    import jax
    import jax.numpy as jnp

    def double(x: jax.Array):
        y = jnp.exp(x)
        return y * 2
Why:
    Threads, kernels and memory are chosen by XLA; nothing that the function computes depends on them.
    Each is told as an information, with what the target has for it.
When not:
    The setting's result is used, or it changes values (`torch.set_default_dtype`): a finding.
"""

from __future__ import annotations

from torchport_translators.rewriter import Rewriter
from torchport_translators.rewrites.registry import statement
from torchport_translators.source import kinds as k
from torchport_translators.source.kinds import Confidence
from torchport_translators.source.syntax import Node

_THREADS = "the target's runtime chooses its threads"
_KERNELS = "the target's compiler chooses its kernels"
_DEBUG = "to find where a nan begins, look at values on the way (in JAX jax.debug_nans does)"
_MEMORY = "the target's allocator looks after memory"
_GRAPH = "there is no graph of operations that would be kept or checked"
_PRINTING = "arrays print as NumPy's do: np.set_printoptions"

SETTINGS: dict[str, str] = {
    "torch.set_num_threads": _THREADS,
    "torch.set_num_interop_threads": _THREADS,
    "torch.set_flush_denormal": _KERNELS,
    "torch.use_deterministic_algorithms": _KERNELS,
    "torch.set_deterministic_debug_mode": _KERNELS,
    "torch.set_float32_matmul_precision": "the target has a precision of products of its own (JAX: jax.default_matmul_precision)",
    "torch.autograd.set_detect_anomaly": _DEBUG,
    "torch.autograd.set_multithreading_enabled": _THREADS,
    "torch.autograd.detect_anomaly": _DEBUG,
    "torch.set_printoptions": _PRINTING,
    "torch.set_warn_always": "the target warns as Python does",
    "torch.utils.checkpoint.set_checkpoint_debug_enabled": _GRAPH,
    "torch.utils.checkpoint.set_checkpoint_early_stop": _GRAPH,
    "torch.autograd.graph.save_on_cpu": _MEMORY,
    "torch.cuda.empty_cache": _MEMORY,
    "torch.cuda.reset_peak_memory_stats": _MEMORY,
    "torch.cuda.ipc_collect": _MEMORY,
    "torch.mps.empty_cache": _MEMORY,
    "torch.backends.cudnn.benchmark": _KERNELS,
    "torch.backends.cudnn.deterministic": _KERNELS,
    "torch.backends.cudnn.enabled": _KERNELS,
    "torch.backends.cudnn.allow_tf32": _KERNELS,
    "torch.backends.cuda.matmul.allow_tf32": _KERNELS,
    "torch.backends.cudnn.flags": _KERNELS,
    "torch.backends.mkldnn.flags": _KERNELS,
    "torch.backends.cuda.sdp_kernel": _KERNELS,
    "torch.nn.attention.sdpa_kernel": _KERNELS,
    "torch.backends.cuda.enable_flash_sdp": _KERNELS,
    "torch.backends.cuda.enable_math_sdp": _KERNELS,
    "torch.backends.cuda.enable_mem_efficient_sdp": _KERNELS,
}
"""Settings that change no value, and where the target has them."""


# At the top level of a file, where nothing is differentiated.
_MODES = frozenset(("torch.set_grad_enabled", "torch.autograd.set_grad_enabled"))


def is_setting(rw: Rewriter, node: Node) -> bool:
    """Whether an expression calls a setting."""
    return rw.called_api(node) in SETTINGS


def _marks_a_leaf(rw: Rewriter, node: Node) -> bool:
    """`x.requires_grad_()`, `x.requires_grad = True`, `x.retain_grad()` of a plain tensor."""
    if node.type == "call" and node["function"].type == "attribute":
        place = node["function"]
        names = ("requires_grad_", "retain_grad")
        positional, keywords = rw.arguments(node)
        plain = all(value.type == "true" for value in (*positional, *keywords.values()))
    elif node.type == "assignment" and node["left"].type == "attribute":
        place, value = node["left"], node.get("right")
        names = ("requires_grad",)
        plain = value is not None and value.type == "true"
    else:
        return False
    kind = place["object"].kind
    tensor = isinstance(kind, k.Tensor) and not kind.variable and kind.sure > Confidence.UNSURE
    return tensor and plain and rw.source[place["attribute"]] in names


def tell(rw: Rewriter, node: Node, api: str) -> None:
    rw.count(True)
    rw.find("setting", f"{api} falls away: {SETTINGS[api]}", node, api)


@statement("expression_statement")
def setting(rw: Rewriter, node: Node) -> bool:
    inner = node.children[0]
    if _marks_a_leaf(rw, inner):
        rw.count(True)
        rw.find("setting", f"{rw.source[node]} falls away: functions are differentiated", node)
        rw.remove(node)
        return True
    api: str | None = None
    if inner.type == "call":
        api = rw.called_api(inner)
    elif inner.type == "assignment":
        api = rw.inference.torch_name(rw.source[inner["left"]])
    if api in _MODES and rw.function is rw.inference.module:
        rw.count(True)
        rw.find(
            "setting", f"{api} falls away: nothing is differentiated unless asked for", node, api
        )
        rw.remove(node)
        return True
    if api not in SETTINGS:
        return False
    tell(rw, node, api)
    rw.remove(node)
    return True
