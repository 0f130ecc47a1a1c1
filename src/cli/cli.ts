import type { Command } from "commander";
import type { Clock } from "../host/clock.ts";
import type { Output } from "./output.ts";

/** What every verb has at hand. */
export interface Cli {
  readonly output: Output;
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts when the administrator has had enough (SIGINT, SIGTERM). */
  readonly signal: AbortSignal;
  /** The exit status of a verb that ends without an error: 0, unless the verb says otherwise. */
  exit: number;
}

/** Adds arguments, options, examples and the action to a verb's command. */
export type DefineVerb = (command: Command, cli: Cli) => void;
