"""A vision transformer: an image is cut into patches, and the patches are read as words.

Dosovitskiy et al., "An Image is Worth 16×16 Words" (2021). Pre-norm blocks, class token,
learned positions.
"""

import torch as th
from torch import nn


# torchport: check(images=f32[2, 3, 32, 32])
class PatchEmbedding(nn.Module):
    """Non-overlapping patches through one strided convolution: (B, C, H, W) → (B, N, D)."""

    def __init__(self, image_size: int = 32, patch_size: int = 8, channels: int = 3, dim: int = 64):
        super().__init__()
        assert image_size % patch_size == 0, "the patches must tile the image"
        self.num_patches = (image_size // patch_size) ** 2
        self.proj = nn.Conv2d(channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: th.Tensor) -> th.Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


# torchport: check(x=f32[2, 17, 64])
class EncoderBlock(nn.Module):
    """x + MHSA(LN(x)), then x + FFN(LN(x))."""

    def __init__(self, dim: int = 64, heads: int = 4, mlp_ratio: float = 2.0, dropout: float = 0.0):
        super().__init__()
        hidden = int(dim * mlp_ratio)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.MultiheadAttention(dim, heads, dropout=dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: th.Tensor) -> th.Tensor:
        h = self.norm1(x)
        h, _ = self.attn(h, h, h, need_weights=False)
        x = x + h
        return x + self.mlp(self.norm2(x))


# torchport: check(images=f32[2, 3, 32, 32])
class VisionTransformer(nn.Module):
    """Images (B, C, H, W) in, class logits (B, num_classes) out.

    pool="cls" reads the class token, pool="mean" averages the patches (moyenne des « patchs »).
    """

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 8,
        channels: int = 3,
        num_classes: int = 10,
        dim: int = 64,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.1,
        pool: str = "cls",
    ):
        super().__init__()
        if pool not in {"cls", "mean"}:
            raise ValueError(f"pool must be 'cls' or 'mean', not {pool!r}")
        self.pool = pool
        self.patch_embed = PatchEmbedding(image_size, patch_size, channels, dim)
        self.cls_token = nn.Parameter(th.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(th.empty(1, self.patch_embed.num_patches + 1, dim))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(EncoderBlock(dim, heads, dropout=dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, num_classes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward_features(self, images: th.Tensor) -> th.Tensor:
        """images: (B, C, H, W) → tokens: (B, 1 + N, dim), the class token first."""
        x = self.patch_embed(images)
        cls = self.cls_token.expand(x.shape[0], -1, -1)
        x = th.cat([cls, x], dim=1)
        x = self.dropout(x + self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def forward(self, images: th.Tensor) -> th.Tensor:
        x = self.forward_features(images)
        x = x[:, 0] if self.pool == "cls" else x[:, 1:].mean(dim=1)
        return self.head(x)
