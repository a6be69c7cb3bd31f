import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile, mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";

import { bundledAbi, probe, serverCommand } from "../src/serverCommand";

const abi = ".cpython-312-x86_64-linux-gnu.so";
const probed = { version: [3, 12] as [number, number], abi, installed: true };

test("a bundle that fits the interpreter is used", () => {
  assert.deepEqual(serverCommand("py", probed, "/ext", abi), {
    command: "py",
    args: [path.join("/ext", "run_server.py"), "lsp"],
  });
});

test("a bundle for another Python is passed over", () => {
  assert.deepEqual(serverCommand("py", probed, "/ext", ".cpython-311-x86_64-linux-gnu.so"), {
    command: "py",
    args: ["-P", "-m", "torchport", "lsp"],
  });
});

test("an interpreter without torchport is an error that says what to do", () => {
  assert.throws(
    () => serverCommand("/usr/bin/py", { ...probed, installed: false }, "/ext", undefined),
    /torchport is not installed in \/usr\/bin\/py\. Install it \(\/usr\/bin\/py -m pip install torchport\)/,
  );
});

test("an old Python is an error that names both versions", () => {
  assert.throws(() => serverCommand("py", { ...probed, version: [3, 9] }, "/ext", abi), /Python 3\.9; torchport needs 3\.11/);
});

test("an interpreter that does not run is an error that names it", async () => {
  await assert.rejects(probe("/no/such/python", tmpdir()), /\/no\/such\/python does not run/);
});

test("a Python says its version", async () => {
  const answer = await probe("python3", tmpdir());
  assert.equal(answer.version[0], 3);
  assert.equal(typeof answer.installed, "boolean");
});

test("the bundle says what it was built for, and may be absent", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "torchport-"));
  try {
    assert.equal(await bundledAbi(folder), undefined);
    await mkdir(path.join(folder, "bundled"));
    await writeFile(path.join(folder, "bundled", "bundle.json"), JSON.stringify({ abi }));
    assert.equal(await bundledAbi(folder), abi);
  } finally {
    await rm(folder, { recursive: true });
  }
});
