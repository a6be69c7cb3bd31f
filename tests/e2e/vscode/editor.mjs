// A real VS Code for one run: code-server with a fresh profile, and a browser on it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { chromium } from "playwright-core";

const HERE = import.meta.dirname;
const NODE = path.join(HERE, ".cache/node/bin/node");
const CODE_SERVER = path.join(HERE, ".cache/code-server/node_modules/code-server/out/node/entry.js");
const VSIX = path.join(HERE, "../../../vscode-extension/torchport.vsix");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const QUIET = {
  "chat.disableAIFeatures": true,
  "editor.minimap.enabled": false,
  "extensions.autoUpdate": false,
  "extensions.ignoreRecommendations": true,
  "files.autoSave": "off",
  "git.enabled": false,
  "security.workspace.trust.enabled": false,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.startupEditor": "none",
};

/** Opens a copy of `fixture`; `settings` are the machine's, `log` takes what code-server says. */
export async function openEditor({ fixture, settings, log }) {
  for (const [file, what] of [[NODE, "Node 24"], [CODE_SERVER, "code-server"], [VSIX, "torchport.vsix"]]) {
    if (!existsSync(file)) {
      throw new Error(`${what} is missing (${file}): run tests/e2e/vscode/setup.sh first.`);
    }
  }
  if (!existsSync(CHROMIUM)) {
    throw new Error(`There is no browser at ${CHROMIUM}: install chromium, or set CHROMIUM.`);
  }
  const root = await mkdtemp(path.join(tmpdir(), "torchport-e2e-"));
  const folder = path.join(root, "workspace");
  const profile = path.join(root, "profile");
  const folders = ["--user-data-dir", profile, "--extensions-dir", path.join(root, "extensions")];
  const output = createWriteStream(log);
  const closers = [() => rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })];
  const close = async () => {
    for (const closer of closers.reverse()) {
      await closer();
    }
  };
  try {
    await cp(fixture, folder, { recursive: true });
    await writeJson(path.join(profile, "User/settings.json"), QUIET);
    await writeJson(path.join(profile, "Machine/settings.json"), settings);
    await finished(codeServer([...folders, "--install-extension", VSIX], root, output), "The extension cannot be installed");

    const port = await freePort();
    const address = `http://127.0.0.1:${port}`;
    const server = codeServer([
      ...folders, "--auth", "none", "--bind-addr", `127.0.0.1:${port}`, "--disable-telemetry",
      "--disable-update-check", "--disable-workspace-trust", folder,
    ], root, output);
    closers.push(() => end(server));
    await healthy(address, server);

    const browser = await chromium.launchPersistentContext(path.join(root, "browser"), {
      executablePath: CHROMIUM,
      headless: true,
      viewport: { width: 1440, height: 900 },
      args: [
        "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
      ],
    });
    closers.push(() => browser.close());
    const page = browser.pages()[0] ?? await browser.newPage();
    await page.goto(`${address}/?folder=${encodeURIComponent(folder)}`);
    return { page, folder, profile, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function codeServer(args, root, output) {
  const child = spawn(NODE, [CODE_SERVER, ...args], {
    cwd: root,
    // A group of its own, so that everything it starts ends with it.
    detached: true,
    env: { ...process.env, HOME: root, XDG_CONFIG_HOME: undefined, XDG_DATA_HOME: undefined },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  return child;
}

async function finished(child, what) {
  const [code] = await once(child, "exit");
  if (code !== 0) {
    throw new Error(`${what}: exit code ${code}, see the log.`);
  }
}

async function end(child) {
  if (child.exitCode !== null) {
    return;
  }
  const exited = once(child, "exit");
  process.kill(-child.pid, "SIGTERM");
  await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, 5000))]);
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") {
      throw error;
    }
  }
}

async function healthy(address, server) {
  for (;;) {
    if (server.exitCode !== null) {
      throw new Error(`code-server ended with exit code ${server.exitCode}, see the log.`);
    }
    try {
      if ((await fetch(`${address}/healthz`)).ok) {
        return;
      }
    } catch {
      // It does not listen yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function freePort() {
  const probe = createServer();
  probe.listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

async function writeJson(file, value) {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, JSON.stringify(value, null, 2));
}
