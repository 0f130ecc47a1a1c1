import type { Command } from "commander";
import type { Clock } from "../host/clock.ts";
import type { Output } from "./output.ts";

/** What every verb has at hand. */
export interface Cli {
  readonly output: Output;
  /** The keyboard, where there is one. */
  readonly input: KeyInput;
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts when the administrator has had enough (SIGINT, SIGTERM). */
  readonly signal: AbortSignal;
  /** The exit status of a verb that ends without an error: 0, unless the verb says otherwise. */
  exit: number;
}

/** What a verb needs of standard input to read single keys; process.stdin has it. */
export interface KeyInput {
  readonly isTTY?: boolean;
  setRawMode?(on: boolean): unknown;
  on(event: "data", listener: (keys: Uint8Array) => void): unknown;
  off(event: "data", listener: (keys: Uint8Array) => void): unknown;
  pause(): unknown;
}

/** Adds arguments, options, examples and the action to a verb's command. */
export type DefineVerb = (command: Command, cli: Cli) => void;
