/**
 * Hooks: programs that make a source still and let it go on again.
 *
 * `before` runs first, and when it fails nothing is captured. `after` runs once the instant is made, then `always`; both
 * run whatever happened, a failed `before` and a cancelled capture included, so that nothing stays frozen.
 *
 * Each is a list of arguments (no shell) and finds in its environment:
 *
 * - `STILLPOINT_SOURCE` and `STILLPOINT_POLICY`: the names of both;
 * - `STILLPOINT_PHASE`: `before`, `after` or `always`;
 * - `STILLPOINT_OUTCOME`, but for `before`: `succeeded` or `failed`, as the capture did.
 */
import { describeError, isStillpointError, StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { run } from "../host/process.ts";

export interface Hook {
  /** The program and its arguments. */
  readonly run: readonly string[];
  /** In ms. */
  readonly timeout: number;
}

export interface Hooks {
  readonly before?: Hook | undefined;
  readonly after?: Hook | undefined;
  readonly always?: Hook | undefined;
}

export interface HookEnvironment {
  readonly source: string;
  readonly policy: string;
  readonly signal?: AbortSignal | undefined;
  /** Told of each failure of `after` and `always`: the source may still be frozen, so someone should know at once. */
  readonly onProblem: (problem: StillpointError) => void;
}

/** Whether the hooks keep the source still while it is captured: one stops it, another lets it go. */
export function areQuiescing(hooks: Hooks | undefined): boolean {
  return hooks?.before !== undefined && (hooks.after !== undefined || hooks.always !== undefined);
}

/** The result of `work`, done between the hooks. Throws `hook_failed` when `before` fails, `cancelled`, or what `work` throws. */
export async function withHooks<T>(
  hooks: Hooks | undefined,
  environment: HookEnvironment,
  work: () => Promise<T>,
): Promise<T> {
  throwIfCancelled(environment.signal);
  let outcome = "failed";
  try {
    if (hooks?.before !== undefined) await runHook("before", hooks.before, environment, undefined, environment.signal);
    const result = await work();
    outcome = "succeeded";
    return result;
  } finally {
    for (const phase of ["after", "always"] as const) {
      const hook = hooks?.[phase];
      // Without the signal: a cancelled capture must not leave the source frozen.
      if (hook !== undefined) await runHook(phase, hook, environment, outcome).catch(environment.onProblem);
    }
  }
}

async function runHook(
  phase: keyof Hooks,
  hook: Hook,
  { source, policy }: HookEnvironment,
  outcome: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const env = {
    STILLPOINT_SOURCE: source,
    STILLPOINT_POLICY: policy,
    STILLPOINT_PHASE: phase,
    STILLPOINT_OUTCOME: outcome,
  };
  try {
    await run(hook.run, { timeout: hook.timeout, signal, env });
  } catch (error) {
    if (isStillpointError(error, "cancelled")) throw error;
    const why = isStillpointError(error) ? error.parts.what : describeError(error);
    throw new StillpointError("hook_failed", {
      what: `The hook \`${phase}\` of the source ${source} failed: ${why}`,
      safe:
        phase === "before"
          ? "Nothing was captured; earlier recovery points are untouched."
          : "What was captured is unaffected.",
      next:
        phase === "before"
          ? "Run it by hand to see what it needs."
          : "Check at once that the source isn't still stopped or frozen.",
      cause: error,
    });
  }
}
