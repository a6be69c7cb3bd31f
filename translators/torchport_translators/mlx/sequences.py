"""Sequences of several lengths: torch.nn.utils.rnn.

torch packs sequences so that a recurrent layer computes only what is valid. In a port they stay
padded beside their lengths, and the layer keeps its state where a sequence has ended.
"""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx

from torchport_translators.catalogue import ports


@ports("torch.nn.utils.rnn.pad_sequence")
def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Sequences (length, ...) as one array (longest, batch, ...)."""
    longest = max(len(sequence) for sequence in sequences)
    padded = []
    for sequence in sequences:
        missing = longest - len(sequence)
        ends = (0, missing) if padding_side == "right" else (missing, 0)
        widths = [ends, *[(0, 0)] * (sequence.ndim - 1)]
        padded.append(mx.pad(sequence, widths, constant_values=padding_value))
    return mx.stack(padded, axis=0 if batch_first else 1)


@ports("torch.nn.utils.rnn.unpad_sequence", jit=False)
def unpad_sequence(padded_sequences, lengths, batch_first=False) -> list[mx.array]:
    rows = padded_sequences if batch_first else padded_sequences.swapaxes(0, 1)
    return [row[: int(length)] for row, length in zip(rows, lengths, strict=True)]


@ports("torch.nn.utils.rnn.PackedSequence")
class PackedSequence(NamedTuple):
    """Sequences (longest, batch, ...), padded, and their lengths (batch,)."""

    padded: mx.array
    lengths: mx.array


@ports("torch.nn.utils.rnn.pack_padded_sequence", jit=False)
def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True) -> PackedSequence:
    """The sequences need not be sorted: they stay in their order."""
    lengths = mx.array(lengths)
    padded = input.swapaxes(0, 1) if batch_first else input
    return PackedSequence(padded[: lengths.max().item()], lengths)


@ports("torch.nn.utils.rnn.pack_sequence")
def pack_sequence(sequences, enforce_sorted=True) -> PackedSequence:
    """The sequences need not be sorted: they stay in their order."""
    lengths = mx.array([len(sequence) for sequence in sequences])
    return PackedSequence(pad_sequence(sequences), lengths)


@ports("torch.nn.utils.rnn.pad_packed_sequence")
def pad_packed_sequence(
    sequence, batch_first=False, padding_value=0.0, total_length=None
) -> tuple[mx.array, mx.array]:
    padded, lengths = sequence
    valid = mx.arange(len(padded))[:, None] < lengths
    valid = valid.reshape(*valid.shape, *[1] * (padded.ndim - 2))
    padded = mx.where(valid, padded, padding_value)
    if total_length is not None:
        missing = total_length - len(padded)
        widths = [(0, missing), *[(0, 0)] * (padded.ndim - 1)]
        padded = mx.pad(padded, widths, constant_values=padding_value)
    return padded.swapaxes(0, 1) if batch_first else padded, lengths


@ports("torch.nn.utils.rnn.unpack_sequence", jit=False)
def unpack_sequence(packed_sequences) -> list[mx.array]:
    return unpad_sequence(packed_sequences.padded, packed_sequences.lengths)
