/** How soon a guest ticks again that is booted from a replica, near and at the end of a line. */
import { rmSync } from "node:fs";
import type { Results } from "../results.ts";
import { boot, captureOne } from "../vm/boots.ts";
import { median } from "../vm/site.ts";
import { DelayProxy } from "./delay-proxy.ts";
import type { Store } from "./stores.ts";

/** In MiB, half of it filled, and GiB. */
const size = { memory: 256, disk: 1 };
/** Round trips, in ms. */
const roundTrips = [0, 50];
const rounds = 3;

export async function measureFarBoots(work: string, store: Store, results: Results): Promise<void> {
  await using proxies = new AsyncDisposableStack();
  const replicas: Record<string, object> = {};
  for (const ms of roundTrips) {
    const port = await proxies.use(new DelayProxy(store.port, ms)).start();
    replicas[nameAt(ms)] = store.replica(nameAt(ms), port);
  }
  // It is replicated at once.
  const site = await captureOne(work, size, replicas);
  for (const ms of roundTrips) {
    const seconds: number[] = [];
    for (let round = 0; round < rounds; round++) seconds.push(await boot(site, "--location", nameAt(ms)));
    const fact = `${store.name}: boot at ${String(ms)} ms to the next tick, s`;
    results.facts[fact] = median(seconds);
    console.log(`  ${fact}  ${median(seconds).toFixed(2)}`);
  }
  rmSync(work, { recursive: true, force: true });
}

function nameAt(ms: number): string {
  return `at-${String(ms)}-ms`;
}
