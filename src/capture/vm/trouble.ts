/** What goes wrong with a virtual machine, as errors. */
import { describeError, isStillpointError, StillpointError } from "../../errors.ts";
import { QmpError } from "../../qemu/qmp.ts";

const safe = "The guest goes on; earlier recovery points are untouched.";

/** A virtual machine that can't be captured right, and what to change. */
export function refused(what: string, next: string): StillpointError {
  return new StillpointError("vm_refused", { what: `Cannot capture the virtual machine: ${what}`, safe, next });
}

/** A step that failed. */
export function failed(what: string, next?: string, cause?: unknown): StillpointError {
  return new StillpointError("vm_failed", { what, safe, ...(next !== undefined && { next }), cause });
}

/** The result of `work`; QEMU's "no" becomes `vm_failed`, with `doing` as what could not be done. */
export async function step<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof QmpError) throw failed(`Cannot ${doing}: ${error.message}`, undefined, error);
    throw error;
  }
}

/** Any error as one of ours, for a list of problems. */
export function asProblem(doing: string, error: unknown): StillpointError {
  if (isStillpointError(error)) return error;
  return failed(`Cannot ${doing}: ${describeError(error)}`, undefined, error);
}

/** The error, which also tells what could not be put right after it. */
export function withProblems(error: unknown, problems: readonly StillpointError[]): unknown {
  if (problems.length === 0 || !isStillpointError(error)) return error;
  const also = problems.map(({ parts }) => parts.what).join("; ");
  return new StillpointError(error.code, {
    ...error.parts,
    what: `${error.parts.what}; and then: ${also}`,
    cause: error,
  });
}

/** The error, which also tells what an earlier capture had left in the guest: of a capture that fails nothing else is heard. */
export function withMended(error: unknown, mended: readonly string[]): unknown {
  if (mended.length === 0 || !isStillpointError(error)) return error;
  const before = `before that, what an earlier capture had left in the guest was made good: ${mended.join(", ")}`;
  return new StillpointError(error.code, { ...error.parts, what: `${error.parts.what} (${before})`, cause: error });
}
