"""A small U-Net for segmentation: one encoder, one decoder, several heads.

Ronneberger et al. (2015), with GroupNorm and SiLU in place of BatchNorm and ReLU, so that
it trains with small batches. Two-space indentation, as this team likes it.
"""

from collections import OrderedDict
from typing import Dict, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


# torchport: check(x=f32[2, 3, 16, 16], init=(3, 8))
class DoubleConv(nn.Module):
  """(Conv 3×3 → GroupNorm → SiLU) × 2, with a residual connection."""

  def __init__(self, in_channels: int, out_channels: int, groups: int = 4):
    super().__init__()
    self.block = nn.Sequential(
      OrderedDict(
        [
          ('conv1', nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)),
          ('norm1', nn.GroupNorm(groups, out_channels)),
          ('act1', nn.SiLU()),
          ('conv2', nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)),
          ('norm2', nn.GroupNorm(groups, out_channels)),
        ]
      )
    )
    if in_channels == out_channels:
      self.skip = nn.Identity()
    else:
      self.skip = nn.Conv2d(in_channels, out_channels, kernel_size=1)

  def forward(self, x: Tensor) -> Tensor:
    return F.silu(self.block(x) + self.skip(x))


# torchport: check(x=f32[2, 16, 7, 5], skip=f32[2, 8, 15, 11], init=(16, 8))
class UpBlock(nn.Module):
  """Doubles the resolution, then merges what the encoder saw there."""

  def __init__(self, in_channels: int, skip_channels: int):
    super().__init__()
    self.up = nn.ConvTranspose2d(in_channels, skip_channels, kernel_size=2, stride=2)
    self.conv = DoubleConv(2 * skip_channels, skip_channels)

  def forward(self, x: Tensor, skip: Tensor) -> Tensor:
    x = self.up(x)
    # An odd side was rounded down on the way in: 15 → 7 → 14 ≠ 15.
    if x.shape[-2:] != skip.shape[-2:]:
      x = F.interpolate(x, size=skip.shape[-2:], mode='bilinear', align_corners=False)
    return self.conv(torch.cat([skip, x], dim=1))


# torchport: check(x=f32[2, 3, 30, 22])
class UNet(nn.Module):
  """Image (B, 3, H, W) → one map (B, n, H, W) per head, by the head's name."""

  def __init__(
    self,
    in_channels: int = 3,
    widths: Sequence[int] = (8, 16, 32),
    dropout: float = 0.1,
  ):
    super().__init__()
    self.stem = DoubleConv(in_channels, widths[0])
    self.down = nn.ModuleList()
    self.up = nn.ModuleList()
    for narrow, wide in zip(widths, widths[1:]):
      self.down.append(DoubleConv(narrow, wide))
      self.up.insert(0, UpBlock(wide, narrow))
    self.pool = nn.MaxPool2d(2)
    self.dropout = nn.Dropout2d(dropout)
    self.heads = nn.ModuleDict(
      {
        'classes': nn.Conv2d(widths[0], 4, kernel_size=1),  # fond, bâtiment, forêt, route
        'edges': nn.Conv2d(widths[0], 1, kernel_size=1),
      }
    )

  def forward(self, x: Tensor) -> Dict[str, Tensor]:
    x = self.stem(x)
    skips = []
    for down in self.down:
      skips.append(x)
      x = down(self.pool(x))
    x = self.dropout(x)
    for up in self.up:
      x = up(x, skips.pop())
    return {name: head(x) for name, head in self.heads.items()}
