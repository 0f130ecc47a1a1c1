import type { Clock } from "./clock.ts";

/** `signal` aborts when `limit` ms have passed, unless it was disposed of before. */
export function deadline(clock: Clock, limit: number): Disposable & { readonly signal: AbortSignal } {
  const late = new AbortController();
  const done = new AbortController();
  clock.sleep(limit, done.signal).then(
    () => late.abort(),
    () => undefined,
  );
  return { signal: late.signal, [Symbol.dispose]: () => done.abort() };
}
