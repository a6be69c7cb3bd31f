// Drives the extension in a real VS Code: port a class, see its verdict, break the port, see the
// diagnostic, take the fix, see it vanish. Asserts on the editor and on the disk.
//
//   node run.mjs              the scenario
//   node run.mjs --controls   then also the negative controls, each of which has to fail where it should
//
// TORCHPORT_PYTHON is the interpreter with torchport, torch and jax (default: the repository's .venv).
// Screenshots and logs go to build-report/e2e/.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";

import { openEditor } from "./editor.mjs";

const HERE = import.meta.dirname;
const ROOT = path.join(HERE, "../../..");
const REPORT = path.join(ROOT, "build-report/e2e");
const PYTHON = process.env.TORCHPORT_PYTHON ?? path.join(ROOT, ".venv/bin/python");

/** Long enough for frameworks to start on a busy machine; nothing here waits when it need not. */
const TIMEOUT = 60_000;
/** For what a negative control waits for in vain. */
const CONTROL_TIMEOUT = 25_000;

const RIGHT = "return x + self.down(hidden)";
const WRONG = "return x - self.down(hidden)";

/** An error that names the step it came from. */
class StepFailed extends Error {
  constructor(step, cause) {
    super(`${step}: ${cause.message}`, { cause });
    this.step = step;
  }
}

async function scenario({ name, edit = WRONG, settings = {}, timeout = TIMEOUT }) {
  const report = path.join(REPORT, name);
  await rm(report, { recursive: true, force: true });
  await mkdir(report, { recursive: true });
  const started = performance.now();
  const editor = await openEditor({
    fixture: path.join(HERE, "fixture"),
    settings: { "torchport.interpreter": PYTHON, "torchport.trace.server": "messages", ...settings },
    log: path.join(report, "code-server.log"),
  });
  const { page, folder, profile } = editor;
  page.setDefaultTimeout(timeout);
  const disk = (file) => readFile(path.join(folder, file), "utf8");
  console.log(`${name}: VS Code is open after ${seconds(started)}`);

  let number = 0;
  const step = async (title, action) => {
    const begun = performance.now();
    number += 1;
    const picture = path.join(report, `${String(number).padStart(2, "0")}-${title.replaceAll(/\W+/g, "-")}.png`);
    try {
      await action();
    } catch (error) {
      await page.screenshot({ path: picture.replace(".png", "-FAILED.png") });
      throw new StepFailed(title, error);
    }
    await page.screenshot({ path: picture });
    console.log(`  ${title} (${seconds(begun)})`);
  };

  try {
    await step("ready", async () => {
      await page.locator(".explorer-folders-view .monaco-list-row", { hasText: "model.py" }).dblclick();
      await line(page, "class Block(nn.Module):").waitFor();
      await page.locator('.statusbar-item[aria-label^="torchport: Ready"]').waitFor();
    });

    await step("light bulb", async () => {
      await line(page, "class Block(nn.Module):").click();
      await openActions(page, /^Port Block to JAX/, timeout);
    });

    await step("port", async () => {
      await choose(page, /^Port Block to JAX/);
      await until(() => existsSync(path.join(folder, "model_jax.py")), "model_jax.py is on the disk", timeout);
      await tab(page, "model_jax.py").waitFor();
      await until(async () => (await disk("model_jax.py")).includes("class Block(nnx.Module):"), "the port is saved", timeout);
      const port = await disk("model_jax.py");
      assert.ok(port.includes(RIGHT), "the port has the forward pass");
      assert.ok(!/^(import|from) torch/m.test(port), "the port does not import torch");
      assert.ok(!port.includes("def spread"), "only what was chosen is ported");
    });

    await step("verdict", async () => {
      await goTo(page, "model_jax.py", await lineOf(disk, "class Block(nnx.Module):"));
      await verified(page, timeout);
    });

    await step("diverged", async () => {
      await replaceLine(page, await lineOf(disk, RIGHT), edit);
      await page.keyboard.press("Control+s");
      await until(async () => (await disk("model_jax.py")).includes(edit), "the edit is saved", timeout);
      await lens(page, /diverged/).waitFor();
      await page.keyboard.press("Control+Shift+m");
      const number = await lineOf(disk, edit);
      await problem(page, new RegExp(`Block:.*\\[Ln ${number}, Col`)).waitFor();
    });

    await step("report", async () => {
      await lens(page, /diverged/).click();
      const view = page.frameLocator("iframe.webview.ready").frameLocator("iframe#active-frame");
      await view.getByRole("heading", { name: "Block diverged" }).waitFor();
      await view.getByRole("table", { name: "Differences" }).waitFor();
    });

    await step("quick fix", async () => {
      await tab(page, "torchport report").getByRole("button", { name: /Close/ }).click();
      await goTo(page, "model_jax.py", await lineOf(disk, edit));
      await openActions(page, /^Port Block to JAX again/, timeout);
    });

    // The port was edited by hand since it was verified, so VS Code shows what goes and asks.
    const preview = page.locator(".bulk-edit-panel");
    await step("preview", async () => {
      await choose(page, /^Port Block to JAX again/);
      await preview.locator(".edit-checkbox").first().check();
    });

    await step("repaired", async () => {
      await preview.getByRole("button", { name: "Apply" }).click();
      await portEditor(page).locator(".view-line", { hasText: RIGHT }).waitFor();
      await tab(page, "model_jax.py").click();
      await page.keyboard.press("Control+s");
      await until(async () => (await disk("model_jax.py")).includes(RIGHT), "the repaired port is saved", timeout);
      assert.ok(!(await disk("model_jax.py")).includes(edit));
      // Before the focus goes elsewhere: VS Code asks for no code lens of an editor that has just lost it.
      await verified(page, timeout);
      await page.keyboard.press("Control+Shift+m");
      await page.getByText("No problems have been detected in the workspace.").waitFor();
    });
    console.log(`${name}: all seen, ${seconds(started)}`);
  } finally {
    await keepLogs(profile, report);
    await editor.close();
  }
}

/** A control passes if the scenario fails in the step that it is to fail in. */
async function control(step, options) {
  try {
    await scenario({ ...options, timeout: CONTROL_TIMEOUT });
  } catch (error) {
    if (error instanceof StepFailed && error.step === step) {
      console.log(`${options.name}: failed in "${step}", as it has to`);
      return;
    }
    throw error;
  }
  throw new Error(`${options.name}: the scenario passed, and has to fail in "${step}".`);
}

function line(page, text) {
  return page.locator(".editor-instance .view-line", { hasText: text }).first();
}

function portEditor(page) {
  return page.locator(".editor-group-container", { has: tab(page, "model_jax.py") });
}

/** A code lens in the editor of the port. */
function lens(page, text) {
  return portEditor(page).locator(".codelens-decoration a", { hasText: text }).first();
}

/** Waits until the one lens of the port says that it was verified as it is. */
async function verified(page, timeout) {
  await until(async () => {
    const lenses = await portEditor(page).locator(".codelens-decoration a").allTextContents();
    return lenses.length === 1 && /verified(?!.*edited since)/.test(lenses[0]);
  }, "the code lens of the port says verified", timeout);
}

function tab(page, name) {
  return page.locator(".tabs-container .tab", { hasText: name });
}

function problem(page, text) {
  return page.locator(".markers-panel .monaco-list-row", { hasText: text }).first();
}

function action(page, title) {
  return page.locator(".action-widget .monaco-list-row", { hasText: title }).first();
}

/** Opens the light bulb menu; again, if it came before the server's actions did. */
async function openActions(page, title, timeout) {
  await until(async () => {
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+.");
    try {
      await action(page, title).waitFor({ timeout: 3000 });
      return true;
    } catch {
      return false;
    }
  }, `the menu has an action ${title}`, timeout);
}

async function choose(page, title) {
  await action(page, title).click();
}

/** Puts the cursor on a line (from 1) of a file that has a tab. */
async function goTo(page, file, number) {
  await tab(page, file).click();
  await page.keyboard.press("Control+g");
  await page.locator(".quick-input-widget input").waitFor();
  await page.keyboard.type(String(number));
  await page.keyboard.press("Enter");
  await page.locator(".active .line-numbers.active-line-number", { hasText: new RegExp(`^${number}$`) }).waitFor();
}

async function replaceLine(page, number, text) {
  await goTo(page, "model_jax.py", number);
  await page.keyboard.press("End");
  await page.keyboard.press("Shift+Home");
  await page.keyboard.type(text);
  await page.keyboard.press("Escape");
}

/** The number of the line of the port that contains `text`. */
async function lineOf(disk, text) {
  const index = (await disk("model_jax.py")).split("\n").findIndex((each) => each.includes(text));
  assert.ok(index >= 0, `the port has a line with ${text}`);
  return index + 1;
}

async function until(condition, what, timeout) {
  const end = performance.now() + timeout;
  while (!await condition()) {
    if (performance.now() > end) {
      throw new Error(`not seen within ${timeout / 1000} s: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Keeps the extension's output and trace. */
async function keepLogs(profile, report) {
  const logs = path.join(profile, "logs");
  if (!existsSync(logs)) {
    return;
  }
  for (const entry of await readdir(logs, { recursive: true })) {
    if (/torchport[^/]*\.log$/.test(entry)) {
      await cp(path.join(logs, entry), path.join(report, path.basename(entry)));
    }
  }
}

function seconds(since) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

try {
  await scenario({ name: "scenario" });
  if (process.argv.includes("--controls")) {
    await control("diverged", { name: "control-harmless-edit", edit: `${RIGHT}  # no change` });
    await control("ready", {
      name: "control-no-server",
      settings: { "torchport.server.command": ["/nonexistent/torchport", "lsp"] },
    });
  }
} catch (error) {
  console.error(error instanceof StepFailed ? `FAILED in ${error.message}\nSee ${REPORT}` : error);
  process.exitCode = 1;
}
