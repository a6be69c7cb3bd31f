import { homedir } from "node:os";
import * as vscode from "vscode";

import { chooseInterpreter, expandPath } from "./interpreter";
import { activeInterpreter } from "./pythonExtension";

export const SECTION = "torchport";

/** A path of the settings, expanded; empty where it is not set. */
export function pathSetting(name: string, folder: vscode.Uri | undefined): string {
  const text = vscode.workspace.getConfiguration(SECTION, folder ?? null).get<string>(name, "");
  return expandPath(text, homedir(), folder?.fsPath);
}

/** The interpreter of a folder. */
export async function interpreterOf(folder: vscode.Uri | undefined): Promise<string> {
  const { isTrusted } = vscode.workspace;
  return chooseInterpreter({
    setting: pathSetting("interpreter", folder),
    active: isTrusted ? await activeInterpreter(folder) : undefined,
    trusted: isTrusted,
    platform: process.platform,
  });
}

/** The command that the user set for the server; empty where none is set. */
export function commandSetting(folder: vscode.WorkspaceFolder | undefined): string[] {
  const words = vscode.workspace.getConfiguration(SECTION, folder?.uri ?? null).get<string[]>("server.command", []);
  return words.map((word) => expandPath(word, homedir(), folder?.uri.fsPath));
}
