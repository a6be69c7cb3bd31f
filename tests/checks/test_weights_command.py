"""`torchport weights`: checkpoints that people have, converted for a port and verified with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file
from safetensors.torch import save_file

from torchport.cli import cli
from torchport_checks import safetensors_file
from torchport_checks.worker import checkpoint
from torchport_checks.worker.loading import StageError
from torchport_checks.worker.protocol import Array
from torchport_translators.translate import translate

SOURCE = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=8, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(width, classes))

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.stem(x))).mean((2, 3)))


def get_inputs():
    return [torch.randn(2, 3, 6, 6)]
"""

SECOND = """

class Other(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.layer(x)
"""


def network(width: int) -> torch.nn.Module:
    """A `Net` whose statistics are those of a step of training."""
    namespace: dict[str, Any] = {}
    exec(SOURCE, namespace)
    torch.manual_seed(0)
    model = namespace["Net"](width)
    model(torch.randn(8, 3, 6, 6))
    return model.eval()


class Project:
    """A folder with a source, its ports and checkpoints."""

    def __init__(self, folder: Path, source: str = SOURCE) -> None:
        self.folder = folder
        (folder / "net.py").write_text(source)
        for target in ("jax", "mlx"):
            (folder / f"net_{target}.py").write_text(translate(source, to=target).text)

    def run(self, checkpoint: str, target: str, *options: str) -> tuple[int, str]:
        """The exit code of the command, and what it printed."""
        arguments = [
            "weights",
            str(self.folder / checkpoint),
            "--for",
            str(self.folder / f"net_{target}.py"),
            "--source",
            str(self.folder / "net.py"),
            "-o",
            str(self.folder / "out.safetensors"),
        ]
        result = CliRunner().invoke(cli, [*arguments, *options])
        return result.exit_code, result.output

    @property
    def out(self) -> Path:
        return self.folder / "out.safetensors"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize("form", ["state.safetensors", "training.pth"])
def test_a_checkpoint_becomes_a_file_that_jax_loads(project: Project, form: str) -> None:
    model = network(6)
    state = model.state_dict()
    if form == "state.safetensors":
        save_file(state, project.folder / form)
    else:  # as DataParallel saves it, amid the rest of a training's state
        wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
        optimizer = torch.optim.Adam(model.parameters()).state_dict()
        torch.save({"epoch": 3, "model": wrapped, "optimizer": optimizer}, project.folder / form)
    code, told = project.run(form, "jax", "--init", "width=6")
    assert code == 0, told
    assert "Verified: Net" in told
    assert ("'model'" in told and "'module.'" in told) == (form == "training.pth")

    import jax.numpy as jnp
    from flax import nnx

    namespace: dict[str, Any] = {}
    exec((project.folder / "net_jax.py").read_text(), namespace)
    port = namespace["Net"](width=6, rngs=nnx.Rngs(0))
    # As docs/weights.md tells.
    arrays = load_file(project.out)
    state = nnx.to_flat_state(nnx.state(port, nnx.Not(nnx.RngState)))
    loaded = [(path, v.replace(jnp.asarray(arrays[".".join(map(str, path))]))) for path, v in state]
    nnx.update(port, nnx.from_flat_state(loaded))
    port.eval()
    x = torch.randn(2, 3, 6, 6)
    np.testing.assert_allclose(port(x.numpy()), model(x).detach(), rtol=1e-5, atol=1e-6)


def test_a_checkpoint_becomes_a_file_that_mlx_loads(project: Project) -> None:
    model = network(6)
    torch.save(model.state_dict(), project.folder / "state.bin")
    code, told = project.run("state.bin", "mlx", "--init", "6", "--json")
    assert code == 0, told
    document = json.loads(told)
    assert document["verdict"]["status"] == "verified"
    assert document["arrays"]["stem.weight"] == {"dtype": "float32", "shape": [6, 3, 3, 3]}

    namespace: dict[str, Any] = {}
    exec((project.folder / "net_mlx.py").read_text(), namespace)
    port = namespace["Net"](width=6)
    port.load_weights(str(project.out))
    port.eval()
    x = torch.randn(2, 3, 6, 6)
    np.testing.assert_allclose(
        np.array(port(mx.array(x.numpy()))), model(x).detach(), rtol=1e-5, atol=1e-6
    )


# A file, the options, and what is told; the code of neither file runs, or it is run in vain.
REFUSED = {
    "not safetensors": ("junk.safetensors", (), "is not a safetensors file"),
    "arguments that cannot be read": ("state.pt", ("--init", "width="), "cannot be read"),
    "arguments of both sorts": ("state.pt", ("--init", "6, classes=5"), "all by name"),
    "a part of safetensors": ("junk.safetensors", ("--key", "model"), "has no parts"),
}


@pytest.mark.parametrize(("checkpoint", "options", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_asked_wrongly_is_refused(
    project: Project, checkpoint: str, options: tuple[str, ...], told: str
) -> None:
    (project.folder / checkpoint).write_bytes(b"no checkpoint at all")
    code, printed = project.run(checkpoint, "jax", *options)
    assert (code, told in printed) == (2, True), printed


def test_weights_of_another_size_get_no_file(project: Project) -> None:
    torch.save(network(6).state_dict(), project.folder / "state.pt")
    code, told = project.run("state.pt", "jax")
    assert code == 1
    assert "size mismatch for stem.weight" in told
    assert "--init" in told
    assert not project.out.exists()


class Unsafe:
    """What no one should have to load."""


# What torch.save is given, where in it to look, and what is told of it.
UNREADABLE = {
    "a class": ({"model": Unsafe()}, None, "holds more than tensors"),
    "several states": (
        {"model": {"a": torch.ones(1)}, "ema": {"a": torch.ones(1)}},
        None,
        "several states: model, ema; say which with --key",
    ),
    "no such state": ({"model": {}}, "best", "no 'best': there is model"),
    "no such part of a state": ({"model": {"a": torch.ones(1)}}, "model.a.b", "no names at all"),
    "no state": ({"epoch": 3}, None, "no state dict, but a dict of epoch \\(int\\)"),
    "one tensor": (torch.ones(2), None, "no state dict, but a Tensor"),
}


@pytest.mark.parametrize(("saved", "key", "told"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_checkpoint_without_one_state_is_refused(
    tmp_path: Path, saved: Any, key: str | None, told: str
) -> None:
    path = tmp_path / "state.pt"
    torch.save(saved, path)
    with pytest.raises(StageError, match=told):
        checkpoint.state_in(checkpoint.read(path), key, path.name)


@pytest.mark.parametrize("data", [b"", b"no checkpoint at all", b"PK\x03\x04 cut off"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(data)
    with pytest.raises(StageError, match=r"state\.pt"):
        checkpoint.read(path)


# What torch.save is given, where in it to look, and the notes on how the state was found.
READ = {
    "a state": ({"a.b": torch.ones(1)}, None, 0),
    "with a counter": ({"a.b": torch.ones(1), "n": torch.tensor(3)}, None, 0),
    "among other things": ({"epoch": 1, "state_dict": {"a.b": torch.ones(1)}}, None, 1),
    "by its name": ({"ema": {"net": {"a.b": torch.ones(1)}}}, "ema.net", 0),
    "of DataParallel": ({"module.a.b": torch.ones(1)}, None, 1),
    "of both wrappers": ({"_orig_mod.module.a.b": torch.ones(1)}, None, 2),
}


@pytest.mark.parametrize(("saved", "key", "notes"), READ.values(), ids=READ)
def test_a_state_is_found_where_people_keep_it(
    tmp_path: Path, saved: Any, key: str | None, notes: int
) -> None:
    torch.save(saved, tmp_path / "state.pt")
    state, told = checkpoint.state_in(checkpoint.read(tmp_path / "state.pt"), key, "state.pt")
    assert state["a.b"].tolist() == [1.0]
    assert len(told) == notes


def test_a_port_that_computes_otherwise_gets_no_file(project: Project) -> None:
    torch.save(network(8).state_dict(), project.folder / "state.pt")
    port = project.folder / "net_jax.py"
    port.write_text(port.read_text().replace("axis=(2, 3)", "axis=(2, 1)"))
    code, told = project.run("state.pt", "jax")
    assert code == 1
    assert "Not written: Net is not verified." in told
    assert not project.out.exists()


def test_of_several_classes_one_must_be_named(tmp_path: Path) -> None:
    project = Project(tmp_path, SOURCE + SECOND)
    torch.save(network(8).state_dict(), tmp_path / "state.pt")
    code, told = project.run("state.pt", "jax")
    assert code == 2
    assert "net_jax.py defines Net, Other: say with --class whose weights they are." in told


def test_a_file_that_is_read_is_not_written(project: Project) -> None:
    torch.save(network(8).state_dict(), project.folder / "state.pt")
    code, told = project.run("state.pt", "jax", "-o", str(project.folder / "state.pt"))
    assert code == 2
    assert "is read as well" in told


# Each dtype of the format, as arrays of numpy hold it.
ARRAYS = {
    "scalar": Array("float32", np.float32(1.5)),
    "empty": Array("float64", np.zeros((0, 3))),
    "halves": Array("float16", np.arange(6, dtype=np.float16).reshape(2, 3)),
    "brain": Array("bfloat16", np.array([1.0, -0.5, 3.140625], np.float32)),
    "count": Array("int64", np.array([1, -(2**40)])),
    "mask": Array("bool", np.array([[True], [False]])),
    "complex": Array("complex64", np.array([1 + 2j], np.complex64)),
}


def test_a_file_of_safetensors_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "all.safetensors"
    size = safetensors_file.write(path, ARRAYS, {"converted_from": "a.pt"})
    assert path.stat().st_size == size
    found = safetensors_file.read(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, np.shape(array.value))
        np.testing.assert_array_equal(found[name].value, array.value)


def test_the_library_of_safetensors_reads_what_was_written(tmp_path: Path) -> None:
    from safetensors.torch import load_file as load_torch

    path = tmp_path / "all.safetensors"
    safetensors_file.write(path, ARRAYS, {})
    found = load_torch(path)
    assert found["brain"].dtype is torch.bfloat16
    assert found["brain"].tolist() == [1.0, -0.5, 3.140625]
    assert found["halves"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["empty"].shape == (0, 3)


def test_what_the_library_of_safetensors_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "theirs.safetensors"
    save_file({"a": torch.tensor([[1.5, 2]], dtype=torch.bfloat16), "b": torch.arange(3)}, path)
    found = safetensors_file.read(path)
    assert found["a"].dtype == "bfloat16"
    assert found["a"].value.tolist() == [[1.5, 2]]
    assert found["b"].value.tolist() == [0, 1, 2]


# Files that are none: as bytes, each with what is wrong.
BROKEN = {
    "empty": b"",
    "a length without end": b"\xff" * 8 + b"{}",
    "no JSON": b"\x02" + b"\0" * 7 + b"no",
    "no mapping": b"\x02" + b"\0" * 7 + b"[]",
    "an array outside": (
        len(h := b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}')
    ).to_bytes(8, "little")
    + h
    + b"\0" * 4,
    "a shape of another size": (
        len(h := b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}')
    ).to_bytes(8, "little")
    + h
    + b"\0" * 8,
    "a dtype of another day": (
        len(h := b'{"a":{"dtype":"F3","shape":[2],"data_offsets":[0,8]}}')
    ).to_bytes(8, "little")
    + h
    + b"\0" * 8,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_not_safetensors_is_said_to_be_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.safetensors is not a safetensors file"):
        safetensors_file.read(path)
