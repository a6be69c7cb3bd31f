import * as vscode from "vscode";

import type { Server } from "./client";
import type { ReportPanel } from "./reportPanel";

const PORT_KIND = "refactor.rewrite.torchport";

/** Registers the commands of the client; those that the server runs are registered by the language client. */
export function registerCommands(
  server: Server,
  report: ReportPanel,
  output: vscode.LogOutputChannel,
): vscode.Disposable {
  /** The file at hand: the one that is edited, or whose report is looked at. */
  const file = () => vscode.window.activeTextEditor === undefined && report.uri !== ""
    ? report.uri
    : pythonEditor().document.uri.toString();
  const commands: Record<string, (...args: never[]) => unknown> = {
    "torchport.portSelection": () => offerPorts(pythonEditor()),
    "torchport.portFile": () => {
      const editor = pythonEditor();
      const { document } = editor;
      const last = document.lineAt(document.lineCount - 1).range.end;
      editor.selection = new vscode.Selection(new vscode.Position(0, 0), last);
      return offerPorts(editor);
    },
    "torchport.checkFile": () => server.execute("torchport.check", file()),
    "torchport.showReport": () => report.show(file()),
    "torchport.openReport": (uri: string, name?: string) => report.show(uri, name),
    "torchport.showPort": showPort,
    "torchport.copyPrompt": async (uri: string, ...names: string[]) => {
      const answer = await server.execute("torchport.prompt", uri, ...names) as { prompt: string; problem: string };
      if (answer.problem !== "") throw new Error(answer.problem);
      await vscode.env.clipboard.writeText(answer.prompt);
      void vscode.window.showInformationMessage("The prompt is on the clipboard. What a model answers, paste into the port and check it.");
    },
    "torchport.showDoctor": async () => {
      const text = await server.execute("torchport.doctor") as string;
      output.info(`doctor\n${text}`);
      output.show();
    },
    "torchport.restartLanes": () => server.execute("torchport.restart"),
    "torchport.restartServer": () => server.restart(),
    "torchport.openOutput": () => output.show(),
    "torchport.showMenu": showMenu,
  };
  const registered = Object.entries(commands).map(([id, run]) =>
    vscode.commands.registerCommand(id, async (...args: never[]) => {
      try {
        return await run(...args);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        output.error(text);
        void vscode.window.showErrorMessage(text);
        return undefined;
      }
    }));
  return vscode.Disposable.from(...registered);
}

function pythonEditor(): vscode.TextEditor {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.languageId !== "python") {
    throw new Error("torchport works on Python files: open one, and put the cursor into it.");
  }
  return editor;
}

/** Ports by the code action, as the light bulb does, so that there is one way to port. */
async function offerPorts(editor: vscode.TextEditor): Promise<void> {
  await vscode.window.showTextDocument(editor.document, editor.viewColumn);
  const target = vscode.workspace.getConfiguration("torchport", editor.document).get("target", "jax");
  await vscode.commands.executeCommand("editor.action.codeAction", { kind: `${PORT_KIND}.${target}`, apply: "ifSingle" });
}

/** Shows a port beside its source, then goes on with what the server has planned for it. */
async function showPort(port: vscode.Uri, next: vscode.Command | undefined): Promise<void> {
  const visible = vscode.window.visibleTextEditors.some(({ document }) => document.uri.toString() === port.toString());
  if (!visible) {
    await vscode.window.showTextDocument(port, {
      viewColumn: vscode.ViewColumn.Beside,
      preserveFocus: true,
      preview: false,
    });
  }
  if (next !== undefined) {
    await vscode.commands.executeCommand(next.command, ...(next.arguments ?? []) as unknown[]);
  }
}

async function showMenu(): Promise<void> {
  const items = [
    { label: "$(beaker) Check Pair Now", command: "torchport.checkFile" },
    { label: "$(graph) Show Report", command: "torchport.showReport" },
    { label: "$(pulse) Doctor", description: "interpreters, frameworks, devices", command: "torchport.showDoctor" },
    { label: "$(debug-restart) Restart Lanes", description: "the processes that run code", command: "torchport.restartLanes" },
    { label: "$(refresh) Restart Server", command: "torchport.restartServer" },
    { label: "$(output) Show Output", command: "torchport.openOutput" },
    { label: "$(gear) Settings", command: "workbench.action.openSettings", argument: "@ext:torchport.torchport" },
  ];
  const chosen = await vscode.window.showQuickPick(items, { title: "torchport" });
  if (chosen !== undefined) {
    await vscode.commands.executeCommand(chosen.command, ...(chosen.argument === undefined ? [] : [chosen.argument]));
  }
}
