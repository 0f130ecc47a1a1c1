/** How much of a line's rate replication uses while it sends, and how fast restores are, however long the line is. */
import { rmSync } from "node:fs";
import { run } from "../measure.ts";
import type { Results } from "../results.ts";
import { DelayProxy } from "./delay-proxy.ts";
import { type OffsiteSite, sentOf, stillpoint } from "./site.ts";
import type { Store } from "./stores.ts";

const mebibyte = 2 ** 20;
/** In MiB/s, as the configuration limits it. */
const rate = 20;
/** Round trips, in ms. */
export const roundTrips = [0, 50, 150];

export function longLineFact(store: string, ms: number): string {
  return `${store}: of ${String(rate)} MiB/s at ${String(ms)} ms, %`;
}

/** Replicates the whole image over lines of these lengths, each time to a new replica, and restores it from there. */
export async function measureLongLine(site: OffsiteSite, store: Store, results: Results): Promise<void> {
  for (const ms of roundTrips) {
    await using proxy = new DelayProxy(store.port, ms);
    const name = `line-${String(ms)}`;
    const limited = { ...store.replica(name, await proxy.start()), bandwidth: `${String(rate)}MiB/s` };
    const config = await site.withReplica(name, limited);
    const { bytes, seconds } = sentOf(await run(stillpoint(config, "replicate", "--json")));
    // Without the beginning: the looking around and the handshakes, which take so many round trips, and a burst of one second.
    const percent = (100 * proxy.sent.rateAfter(4 * rate * mebibyte)) / (rate * mebibyte);
    results.facts[longLineFact(store.name, ms)] = percent;
    results.facts[`${store.name}: besides sending, at ${String(ms)} ms, s`] = seconds - bytes / (rate * mebibyte);
    console.log(`  ${longLineFact(store.name, ms)}  ${percent.toFixed(0)}`);
    await measureLongRestore(
      { site, config, name, proxy },
      `${store.name}: restored at ${String(ms)} ms, MiB/s`,
      results,
    );
  }
}

interface LongRestore {
  readonly site: OffsiteSite;
  readonly config: string;
  /** Of the replica. */
  readonly name: string;
  readonly proxy: DelayProxy;
}

/** Restores aren't limited: what the line carries is what they ask for in time. Without the index and the first packs. */
async function measureLongRestore(
  { site, config, name, proxy }: LongRestore,
  fact: string,
  results: Results,
): Promise<void> {
  const target = `${site.image}.restored`;
  await run(
    stillpoint(config, "restore", "latest", "--source", "image", "--location", name, "--to", target, "--quiet"),
  );
  rmSync(target);
  const reached = proxy.received.rateAfter(32 * mebibyte) / mebibyte;
  results.facts[fact] = reached;
  console.log(`  ${fact}  ${reached.toFixed(0)}`);
}
