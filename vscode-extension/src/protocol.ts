// What the server and the client say to each other beyond the Language Server Protocol:
// docs/language-server.md, and for a verdict checks/torchport_checks/verdicts.py.

export interface Lane {
  framework: string;
  device: string;
  version: string;
  state: "off" | "busy" | "idle";
}

export interface ServerStatus {
  busy: boolean;
  lanes: Lane[];
  last: { uri: string; status: Status; text: string } | null;
  message: string;
}

/** Pydantic writes a float that JSON has no number for as "NaN", "Infinity" or "-Infinity". */
export type Float = number | string;

export type Status = "verified" | "diverged" | "error" | "not_run";

export interface Errors {
  abs: Float;
  rel: Float;
  ulp: Float;
}

export interface LaneInfo {
  framework: string;
  version: string;
  device: string;
  interpreter: string;
}

export interface InputUsed {
  name: string;
  text: string;
}

export interface Inputs {
  origin: string;
  init: InputUsed[];
  call: InputUsed[];
  draws: string[];
  seed: number;
}

export interface Difference {
  category: string;
  where: string;
  case: string;
  message: string;
  index: number[] | null;
  torch: Float | null;
  port: Float | null;
  reference: Float | null;
  tolerance: Float | null;
}

export type Stage = "passed" | "failed" | "not_run";

export interface DefinitionVerdict {
  name: string;
  kind: "function" | "module";
  source_line: number;
  port_line: number | null;
  status: Status;
  category: string | null;
  message: string;
  stages: { spec: Stage; numeric: Stage };
  largest: Errors;
  gradients: {
    status: "equal" | "differ" | "not_compared";
    reason: string;
    inputs: Record<string, Errors>;
    parameters: Record<string, Errors>;
  };
  inputs: Inputs | null;
  differences: Difference[];
  notes: string[];
  output: string;
  seconds: number;
}

export interface Verdict {
  torchport: string;
  source: string;
  port: string;
  target: string;
  lanes: LaneInfo[];
  definitions: DefinitionVerdict[];
  error: string;
  category: string | null;
  notes: string[];
  seconds: number;
  from_store: boolean;
}

/** The answer of `torchport.report`, where there is a verdict. */
export interface Report {
  verdict: Verdict;
  stale: boolean;
}
