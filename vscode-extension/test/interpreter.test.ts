import assert from "node:assert/strict";
import { test } from "node:test";

import { chooseInterpreter, expandPath } from "../src/interpreter";

const sources = { setting: "", active: undefined, trusted: true, platform: "linux" } as const;

test("the setting comes before the Python extension", () => {
  assert.equal(chooseInterpreter({ ...sources, setting: "/a/python", active: "/b/python" }), "/a/python");
});

test("the Python extension comes before the path", () => {
  assert.equal(chooseInterpreter({ ...sources, active: "/b/python" }), "/b/python");
});

test("without either it is the first Python on the path", () => {
  assert.equal(chooseInterpreter(sources), "python3");
  assert.equal(chooseInterpreter({ ...sources, platform: "win32" }), "python");
});

test("an untrusted workspace cannot name a program through the Python extension", () => {
  assert.equal(chooseInterpreter({ ...sources, active: "./.venv/bin/python", trusted: false }), "python3");
});

test("paths are expanded as people write them", () => {
  assert.equal(expandPath("~/env/bin/python", "/home/ada", undefined), "/home/ada/env/bin/python");
  assert.equal(expandPath("~", "/home/ada", undefined), "/home/ada");
  assert.equal(expandPath("~other/python", "/home/ada", undefined), "~other/python");
  assert.equal(expandPath("${workspaceFolder}/.venv/bin/python", "/h", "/w"), "/w/.venv/bin/python");
  assert.equal(expandPath("", "/h", "/w"), "");
});
