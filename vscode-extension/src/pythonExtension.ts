import * as vscode from "vscode";

/** What is used of the API of ms-python.python. */
interface PythonApi {
  environments: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(environment: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath: vscode.Event<unknown>;
  };
}

async function pythonApi(): Promise<PythonApi | undefined> {
  return vscode.extensions.getExtension<PythonApi>("ms-python.python")?.activate();
}

/** The interpreter that is active in the Python extension; `undefined` where there is none. */
export async function activeInterpreter(folder: vscode.Uri | undefined): Promise<string | undefined> {
  const api = await pythonApi();
  if (api === undefined) {
    return undefined;
  }
  const active = api.environments.getActiveEnvironmentPath(folder);
  const environment = await api.environments.resolveEnvironment(active);
  return environment?.executable.uri?.fsPath;
}

/** Calls `listener` when another interpreter becomes active. */
export async function onInterpreterChange(listener: () => void): Promise<vscode.Disposable | undefined> {
  return (await pythonApi())?.environments.onDidChangeActiveEnvironmentPath(listener);
}
