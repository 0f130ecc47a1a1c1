/**
 * Offsite copies (docs/benchmarks.md): what Stillpoint sends to a Ceph and to an sshd, beside restic's backups to the same
 * stores and rclone's copies of the same bytes; and how much of a long line it uses.
 */
import { rmSync } from "node:fs";
import * as path from "node:path";
import { FaultProxy } from "../../test/helpers/fault-proxy.ts";
import { settle, writeRandomly } from "../data.ts";
import { type Command, measure, run } from "../measure.ts";
import { offsiteOperations } from "../operations.ts";
import type { Results } from "../results.ts";
import { measureFarBoots } from "./far-boots.ts";
import { measureLongLine } from "./long-line.ts";
import { makeOffsiteSite, type OffsiteSite, type Sent, sentOf, stillpoint } from "./site.ts";
import { startS3, startSftp, type Store } from "./stores.ts";

const pageLength = 4096;

interface Round {
  readonly site: OffsiteSite;
  readonly store: Store;
  readonly results: Results;
  readonly folder: string;
  readonly number: number;
}

export async function measureOffsite(work: string, results: Results, quick: boolean): Promise<void> {
  const mebibytes = quick ? 256 : 1024;
  for (const start of [startS3, startSftp]) {
    for (let number = 1; number <= (quick ? 1 : 3); number++) {
      // A new one for each: the Ceph of one round would be full before the second ends.
      await using store = await start();
      const folder = path.join(work, `${store.name}-${String(number)}`);
      const site = await makeOffsiteSite(folder, mebibytes);
      await measureRound({ site, store, results, folder, number }, mebibytes);
      rmSync(folder, { recursive: true });
    }
    await using store = await start();
    const site = await makeOffsiteSite(path.join(work, `${store.name}-line`), quick ? 512 : 1024);
    await site.capture();
    if (store.name === "s3") await countRequests(site, store, results);
    await measureLongLine(site, store, results);
    await measureFarBoots(path.join(work, `${store.name}-boots`), store, results);
  }
}

async function measureRound(round: Round, mebibytes: number): Promise<void> {
  const { site, store, number, folder } = round;
  const { first, changed, restore } = offsiteOperations[store.name];
  const name = (program: string): string => `${program}-${String(number)}`;
  const config = await site.withReplica(name("stillpoint"), store.replica(name("stillpoint")));
  await run(store.restic(name("restic"), ["init"]));
  const restic = store.restic(name("restic"), ["backup", site.image]);
  const ours = stillpoint(config, "replicate", "--json");

  await site.capture();
  await measureOne(round, first, "stillpoint", ours);
  await measureOne(round, first, "restic", restic);
  await measureOne(round, first, "rclone", store.rclone(name("rclone"), site.repository));

  await writeRandomly(site.image, Math.floor((mebibytes * 2 ** 20) / pageLength / 100), number);
  await site.capture();
  const sent = await measureOne(round, changed, "stillpoint", ours);
  await measureOne(round, changed, "restic", restic);
  round.results.facts[`${store.name}: bytes sent for each new sealed byte`] =
    (sent?.bytes ?? Number.NaN) / (await site.newBytes());

  const target = path.join(folder, "restored");
  const asked = ["latest", "--source", "image", "--location", name("stillpoint"), "--to", target];
  await measureOne(round, restore, "stillpoint", stillpoint(config, "restore", ...asked, "--quiet"));
  await run({ program: "cmp", args: [site.image, target] });
  rmSync(target, { recursive: true });
  await measureOne(round, restore, "restic", store.restic(name("restic"), ["restore", "latest", "--target", target]));
}

/** Of what Stillpoint has printed, `--json` being among its arguments. */
async function measureOne(
  { results, site, number }: Round,
  operation: string,
  peer: string,
  command: Command,
): Promise<Sent | undefined> {
  await settle(path.dirname(site.image));
  let printed = "";
  const cost = await measure(command, (text) => (printed = text));
  results.samples.push({ operation, peer, ...cost });
  console.log(`  round ${String(number)}  ${operation}  ${peer}  ${cost.seconds.toFixed(2)} s`);
  return command.args.includes("--json") ? sentOf(printed) : undefined;
}

/** In a run of its own, since the proxy that counts them is slower than the store. */
async function countRequests(site: OffsiteSite, store: Store, results: Results): Promise<void> {
  await using proxy = new FaultProxy(`http://127.0.0.1:${String(store.port)}`);
  const { port } = new URL(await proxy.start());
  const config = await site.withReplica("counted", store.replica("counted", Number(port)));
  const before = proxy.seen.length;
  const { bytes } = sentOf(await run(stillpoint(config, "replicate", "--json")));
  const sent = proxy.seen.length;
  results.facts["s3: requests for each GiB sent"] = (sent - before) / (bytes / 2 ** 30);
  const target = `${site.image}.restored`;
  const restore = ["latest", "--source", "image", "--location", "counted", "--to", target, "--quiet"];
  await run(stillpoint(config, "restore", ...restore));
  rmSync(target);
  results.facts["s3: requests for each GiB read"] = (proxy.seen.length - sent) / (bytes / 2 ** 30);
}
