import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import * as path from "node:path";

/** What an interpreter says about itself. */
export interface Probe {
  version: [number, number];
  /** The suffix of native modules, which names Python version and platform. */
  abi: string;
  /** Whether torchport can be imported. */
  installed: boolean;
}

export interface Command {
  command: string;
  args: string[];
}

const PROBE = `
import importlib.util, json, sys, sysconfig
print(json.dumps({
    "version": list(sys.version_info[:2]),
    "abi": sysconfig.get_config_var("EXT_SUFFIX"),
    "installed": importlib.util.find_spec("torchport_server") is not None,
}))
`;

/** Asks an interpreter about itself, from a folder where nothing of the user's can be imported. */
export async function probe(interpreter: string, extensionFolder: string): Promise<Probe> {
  const answer = await new Promise<string>((resolve, reject) => {
    const options = { cwd: extensionFolder, timeout: 30_000 };
    execFile(interpreter, ["-c", PROBE], options, (error, stdout, stderr) => {
      if (error === null) {
        resolve(stdout);
      } else {
        const said = stderr.trim().split("\n").at(-1) ?? "";
        reject(new Error(
          `${interpreter} does not run: ${said === "" ? error.message : said}. Choose a Python `
          + "interpreter (3.11 or newer), or set torchport.interpreter.",
        ));
      }
    });
  });
  return JSON.parse(answer) as Probe;
}

/** The `abi` that the bundled server was built for; `undefined` if none was bundled. */
export async function bundledAbi(extensionFolder: string): Promise<string | undefined> {
  try {
    const text = await readFile(path.join(extensionFolder, "bundled", "bundle.json"), "utf8");
    return (JSON.parse(text) as { abi: string }).abi;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      return undefined;
    }
    throw error;
  }
}

/**
 * The command that starts the server in an interpreter.
 *
 * The bundled server comes first: it is the one that this client was tested with. `-P` keeps the
 * working folder, which is the user's workspace, off the module path.
 */
export function serverCommand(
  interpreter: string,
  probed: Probe,
  extensionFolder: string,
  bundle: string | undefined,
): Command {
  const [major, minor] = probed.version;
  if (major !== 3 || minor < 11) {
    throw new Error(
      `${interpreter} is Python ${major}.${minor}; torchport needs 3.11 or newer. Choose another `
      + "interpreter, or set torchport.interpreter: the code itself may run in an older one, see "
      + "torchport.python.torch and torchport.python.jax.",
    );
  }
  if (bundle !== undefined && bundle === probed.abi) {
    return { command: interpreter, args: [path.join(extensionFolder, "run_server.py"), "lsp"] };
  }
  if (probed.installed) {
    return { command: interpreter, args: ["-P", "-m", "torchport", "lsp"] };
  }
  throw new Error(
    `torchport is not installed in ${interpreter}. Install it (${interpreter} -m pip install `
    + "torchport), choose another interpreter, or set torchport.server.command.",
  );
}
