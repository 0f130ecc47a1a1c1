/** What was done to a guest, so that it can be undone in the reverse order. */
import type { StillpointError } from "../../errors.ts";
import { asProblem } from "./trouble.ts";

export class Undo {
  readonly #steps: { readonly what: string; readonly undo: () => Promise<unknown> }[] = [];

  /** Notes how to undo something; noted before it is done where it may be done although it seems to fail. */
  add(what: string, undo: () => Promise<unknown>): void {
    this.#steps.push({ what, undo });
  }

  /** Undoes everything, even when a step fails. Returns the failures; after that there is nothing left to undo. */
  async run(): Promise<StillpointError[]> {
    const problems: StillpointError[] = [];
    for (let next = this.#steps.pop(); next !== undefined; next = this.#steps.pop()) {
      try {
        await next.undo();
      } catch (error) {
        problems.push(asProblem(next.what, error));
      }
    }
    return problems;
  }
}
