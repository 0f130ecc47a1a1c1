/** How much of a line's rate replication uses while it sends, however long the line is. */
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

/** Replicates the whole image over lines of these lengths, each time to a new replica. */
export async function measureLongLine(site: OffsiteSite, store: Store, results: Results): Promise<void> {
  for (const ms of roundTrips) {
    await using proxy = new DelayProxy(store.port, ms);
    const name = `line-${String(ms)}`;
    const limited = { ...store.replica(name, await proxy.start()), bandwidth: `${String(rate)}MiB/s` };
    const config = await site.withReplica(name, limited);
    const { bytes, seconds } = sentOf(await run(stillpoint(config, "replicate", "--json")));
    // Without the beginning: the looking around and the handshakes, which take so many round trips, and a burst of one second.
    const percent = (100 * proxy.rateAfter(4 * rate * mebibyte)) / (rate * mebibyte);
    results.facts[longLineFact(store.name, ms)] = percent;
    results.facts[`${store.name}: besides sending, at ${String(ms)} ms, s`] = seconds - bytes / (rate * mebibyte);
    console.log(`  ${longLineFact(store.name, ms)}  ${percent.toFixed(0)}`);
  }
}
