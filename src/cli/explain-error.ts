/** The one place that turns whatever was thrown into what the administrator reads, and into an exit status. */
import { exitStatus, harmless, isStillpointError, toError } from "../errors.ts";
import { errnoOf } from "../host/files.ts";
import { withoutSecrets } from "../host/secrets.ts";

export interface Explanation {
  /** What happened, what is safe, what to do: one line each. Ready to print. */
  readonly text: string;
  readonly exit: number;
}

export interface ExplainOptions {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Whether to show where the error comes from, for whoever mends Stillpoint (STILLPOINT_DEBUG=1). */
  readonly debug: boolean;
}

export function explainError(thrown: unknown, { environment, debug }: ExplainOptions): Explanation {
  const error = toError(thrown);
  const { lines, exit } = describe(error);
  const text = [...lines, ...(debug ? stacks(error) : [])].join("\n");
  return { text: harmless(withoutSecrets(text, environment)), exit };
}

function describe(error: Error): { lines: string[]; exit: number } {
  if (isStillpointError(error)) {
    const { what, safe, next } = error.parts;
    // Problems of a configuration come as lines of their own, each complete.
    const first = what.includes("\n") ? what : `stillpoint: ${what}.`;
    return { lines: [first, ...[safe, next].filter((line) => line !== undefined)], exit: error.exit };
  }
  const safe = "Recovery points that were committed before are untouched.";
  const errno = errnoOf(error);
  if (errno !== undefined) {
    return { lines: [`stillpoint: the system refused: ${error.message}.`, safe], exit: exitStatus.failed };
  }
  return {
    lines: [
      `stillpoint: this is a defect in Stillpoint: ${error.message}.`,
      safe,
      "Run it again with STILLPOINT_DEBUG=1, and report what it says.",
    ],
    exit: exitStatus.failed,
  };
}

function stacks(error: Error): string[] {
  const cause = error.cause instanceof Error ? stacks(error.cause) : [];
  return [error.stack ?? error.message, ...cause];
}
