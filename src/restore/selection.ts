/** Which parts of a directory are wanted. */
import { StillpointError } from "../errors.ts";

/** Names of the steps (as Latin-1) that lead to what is wanted; empty: everything from here on. */
export interface Selection {
  readonly steps: ReadonlyMap<string, Selection>;
  /** The path as it was asked for, when it ends here. */
  readonly path: string | undefined;
}

export const everything: Selection = { steps: new Map(), path: undefined };

export function isEverything(selection: Selection): boolean {
  return selection.steps.size === 0;
}

/** Paths as `stepsBelow` takes them. */
export function selectPaths(folder: string, paths: readonly string[]): Selection {
  const root: MutableSelection = { steps: new Map(), path: undefined };
  for (const path of paths) {
    const steps = stepsBelow(folder, path);
    if (steps.length === 0) return everything;
    addPath(root, steps, path);
  }
  return root;
}

/**
 * The names that lead to a path of the directory that was captured as `folder`. The path is relative to it, or absolute, as it
 * was on the host; slashes at either end don't matter otherwise. Throws `usage` for one that leads out of it.
 */
export function stepsBelow(folder: string, path: string): string[] {
  const steps = stepsOf(path);
  const above = stepsOf(folder);
  const isHosts = path.startsWith("/") && above.every((step, position) => steps[position] === step);
  return isHosts ? steps.slice(above.length) : steps;
}

/** The names that a path consists of. Throws `usage`. */
export function stepsOf(path: string): string[] {
  const steps = path.split("/").filter((step) => step !== "" && step !== ".");
  if (!steps.includes("..")) return steps;
  throw new StillpointError("usage", {
    what: `Cannot look for ${path} in a recovery point: it leads out of the directory`,
    next: "Give a path relative to the source's folder.",
  });
}

interface MutableSelection extends Selection {
  readonly steps: Map<string, MutableSelection>;
  path: string | undefined;
}

/** A path below one that is wanted as a whole adds nothing. */
function addPath(root: MutableSelection, steps: readonly string[], path: string): void {
  let at = root;
  for (const step of steps) {
    if (at.path !== undefined) return;
    const name = Buffer.from(step).toString("latin1");
    const next = at.steps.get(name) ?? { steps: new Map(), path: undefined };
    at.steps.set(name, next);
    at = next;
  }
  at.steps.clear();
  at.path = path;
}
