/**
 * Resolves when all have succeeded. Where one fails the others are waited for, too: what they fill isn't written to later on. Throws
 * what the first in the list threw.
 */
export async function allEnded(work: readonly Promise<unknown>[]): Promise<void> {
  for (const one of await Promise.allSettled(work)) if (one.status === "rejected") throw one.reason;
}
