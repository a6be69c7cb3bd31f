import { randomBytes } from "node:crypto";
import * as vscode from "vscode";

import type { Server } from "./client";
import type { Report } from "./protocol";
import { emptyPage, reportPage, type Resources } from "./report";

interface Choice {
  action: "check" | "source" | "port";
  line: number;
}

/** The report view: one panel, which follows the checks of the file that it shows. */
export class ReportPanel implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  /** The file whose report is shown; empty where none is. */
  uri = "";
  private report: Report | null = null;
  private readonly subscription: vscode.Disposable;

  constructor(private readonly extensionUri: vscode.Uri, private readonly server: Server) {
    let wasBusy = false;
    this.subscription = server.onDidChange(() => {
      const busy = server.status?.busy ?? false;
      if (wasBusy && !busy && this.panel !== undefined && server.state === "running") {
        void this.load();
      }
      wasBusy = busy;
    });
  }

  /** Shows the last verdict on the pair of a file, beginning with the definition `name`. */
  async show(uri: string, name?: string): Promise<void> {
    this.uri = uri;
    if (this.panel === undefined) {
      this.panel = vscode.window.createWebviewPanel(
        "torchport.report",
        "torchport report",
        // Beside the one editor that there is; a tab where source and port are already side by side.
        vscode.window.tabGroups.all.length > 1 ? vscode.ViewColumn.Active : vscode.ViewColumn.Beside,
        { enableScripts: true, enableFindWidget: true, localResourceRoots: [vscode.Uri.joinPath(this.extensionUri, "media")] },
      );
      this.panel.iconPath = vscode.Uri.joinPath(this.extensionUri, "media", "icon.png");
      this.panel.onDidDispose(() => {
        this.panel = undefined;
        this.uri = "";
      });
      this.panel.webview.onDidReceiveMessage((choice: Choice) => this.choose(choice));
    } else {
      this.panel.reveal();
    }
    await this.load(name);
  }

  dispose(): void {
    this.subscription.dispose();
    this.panel?.dispose();
  }

  private async load(name?: string): Promise<void> {
    this.report = await this.server.execute("torchport.report", this.uri) as Report | null;
    if (this.panel === undefined) {
      return;
    }
    const resources = this.resources(this.panel.webview);
    this.panel.webview.html = this.report === null
      ? emptyPage(vscode.Uri.parse(this.uri).fsPath, resources)
      : reportPage(this.report, resources, name);
  }

  private resources(webview: vscode.Webview): Resources {
    const media = (name: string) => webview.asWebviewUri(vscode.Uri.joinPath(this.extensionUri, "media", name)).toString();
    return {
      cspSource: webview.cspSource,
      nonce: randomBytes(16).toString("hex"),
      style: media("report.css"),
      script: media("report.js"),
    };
  }

  private async choose({ action, line }: Choice): Promise<void> {
    if (action === "check") {
      await this.server.execute("torchport.check", this.uri);
    } else if (this.report !== null) {
      const position = new vscode.Position(line - 1, 0);
      await vscode.window.showTextDocument(vscode.Uri.file(this.report.verdict[action]), {
        viewColumn: vscode.ViewColumn.One,
        selection: new vscode.Range(position, position),
      });
    }
  }
}
