import * as path from "node:path";

/** What a folder's interpreter is chosen from. */
export interface InterpreterSources {
  /** `torchport.interpreter`, which VS Code takes from the user alone in an untrusted workspace. */
  setting: string;
  /** What is active in the Python extension. */
  active: string | undefined;
  trusted: boolean;
  platform: NodeJS.Platform;
}

/**
 * The setting, else the Python extension's, else the first Python on the path.
 *
 * In an untrusted workspace the Python extension is not asked: its choice may be a program of the
 * workspace itself, and starting the server would run it.
 */
export function chooseInterpreter(sources: InterpreterSources): string {
  if (sources.setting !== "") {
    return sources.setting;
  }
  if (sources.trusted && sources.active !== undefined) {
    return sources.active;
  }
  return sources.platform === "win32" ? "python" : "python3";
}

/** A path as people write it in settings: with `~`, or `${workspaceFolder}`. */
export function expandPath(text: string, home: string, folder: string | undefined): string {
  const expanded = /^~(?=$|[\\/])/.test(text) ? path.join(home, text.slice(1)) : text;
  return folder === undefined ? expanded : expanded.replaceAll("${workspaceFolder}", folder);
}
