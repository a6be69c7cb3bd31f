"""Records in other projects' formats, and back."""

from __future__ import annotations

import json

import pytest

from torchport_translators.bugs import RecordError, corpus, parse_record, record_text
from torchport_translators.bugs.exchange import exported, imported

RECORD = next(record for record in corpus() if record.id == "jax/var-correction")
EXAMPLE = {
    "Example_id": "Example_7",
    "Input_Code": "import torch\nimport os\n\ndef helper(x):\n    return x\n\ndef f(x):\n"
    "    return helper(x).var(1)\n\nprint(f(torch.ones(2, 2)))\n",
    "LLM_weak_output": "import jax.numpy as jnp\n\ndef f(x):\n    return jnp.var(x, axis=1)\n",
    "LLM_fix_output": "import jax.numpy as jnp\n\ndef f(x):\n    return jnp.var(x, axis=1, ddof=1)\n",
    "Errors": [
        {
            "Error_Code": "jnp.var(x, axis=1)",
            "Error": "Another  correction",
            "Fix_info": "Use ddof=1.",
            "Fixed_Code": "jnp.var(x, axis=1, ddof=1)",
        }
    ],
}


def test_t2j_there_and_back() -> None:
    records = corpus()
    found, refused = imported(exported(records, "t2j"))
    assert not refused
    by_id = {record.id: record for record in found}
    for record in records:
        name = record.id.partition("/")[2]
        assert by_id[record.id] == parse_record(record_text(record), name)


def test_t2j_of_others() -> None:
    (record,), refused = imported(json.dumps({"Pytorch_to_JAX_Examples": [EXAMPLE]}))
    assert not refused
    assert record.id == "jax/t2j-example-7"
    assert record.title == "Another correction"
    assert record.why == "Use ddof=1."
    assert record.definition == "f"
    assert record.torch.startswith("import os\n\n\ndef helper(x):") and "print" not in record.torch
    assert "torch.Tensor.var" in record.apis or record.apis == ("torch",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1", "not JSON"),
        ("[]", "no list Pytorch_to_JAX_Examples"),
        ('{"Pytorch_to_JAX_Examples": []}', "no list"),
    ],
)
def test_what_is_no_data_set(text: str, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        imported(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Input_Code": 1}, "Input_Code is missing"),
        ({"LLM_weak_output": "def ("}, "invalid syntax"),
        ({"LLM_fix_output": "x = 1"}, "nothing of the same name"),
    ],
)
def test_an_example_that_is_no_record(change: dict[str, object], message: str) -> None:
    found, refused = imported(json.dumps({"Pytorch_to_JAX_Examples": [EXAMPLE | change]}))
    assert not found
    assert len(refused) == 1 and message in refused[0]


def test_for_fine_tuning() -> None:
    twice = [RECORD, RECORD]
    (line,) = exported(twice, "conversion").splitlines()
    row = json.loads(line)
    assert row["licence"] == "Apache-2.0" and row["provenance"].endswith("jax/var-correction")
    assert "x.var(dim=1)" in row["seed"] and "ddof=1" in row["solution"]
    assert "ddof" not in row["seed"] + row["problem"]
    (line,) = exported(twice, "generation").splitlines()
    row = json.loads(line)
    assert "jnp.var(x, axis=1)" in row["INSTRUCTION"] and "ddof=1" in row["RESPONSE"]
