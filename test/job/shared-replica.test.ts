/** Two hosts with one identity: a copy of a host, or one that was recovered while the other still runs. */
import * as fs from "node:fs/promises";
import { expect, test } from "vitest";
import { recoverPrimary } from "../../src/replicate/recover-primary.ts";
import { loadCatalog } from "../../src/repository/points/catalog.ts";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import { moveAway, working } from "../helpers/working-job.ts";

type Working = Awaited<ReturnType<typeof working>>;

/** `names` of replicas, and the folder they are in. */
function rest(names: readonly string[], folder = "replicas"): string {
  const all = (to: (name: string) => string): string => names.map((name) => `${name}: { ${to(name)} }`).join(", ");
  return `
replicas: { ${all((name) => `path: ${folder}/${name}`)} }
sources: { docs: { directory: { path: docs } } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    keep: { last: 2 }
    replicate: { ${all(() => "keep: { last: 10 }")} }
`;
}

/** One replica gets its points from the other. */
function chain(folder = "replicas"): string {
  return rest(["near", "far"], folder).replace(
    "far: { keep: { last: 10 } }",
    "far: { from: near, keep: { daily: 10 } }",
  );
}

/** A second host with the first one's key, and that configuration. `fill` makes its repository. */
async function second(
  first: Working,
  configuration: (folder: string) => string,
  fill: (repository: string) => Promise<void>,
): Promise<Working> {
  const other = await working(configuration(first.site.at("replicas")));
  await fs.rm(other.site.at("repository"), { recursive: true });
  await fs.cp(first.site.at("key"), other.site.at("key"));
  await fill(other.site.at("repository"));
  return other;
}

async function copyOf(first: Working, configuration = (folder: string) => rest(["far"], folder)): Promise<Working> {
  const from = first.site.at("repository");
  const options = { recursive: true, preserveTimestamps: true };
  return await second(first, configuration, async (to) => await fs.cp(from, to, options));
}

async function recoveredFrom(replica: string, first: Working): Promise<Working> {
  const path = first.site.at("replicas", replica);
  const configuration = (folder: string): string => rest(["near", "far"], folder);
  return await second(first, configuration, async (to) => {
    const from = { ...first.site.primary, storage: openStorage({ kind: "fs", location: replica, path }) };
    const primary = { kind: "fs", location: "primary", path: to } as const;
    await createStorage(primary);
    await recoverPrimary({ replica: from, catalog: await loadCatalog(from), storage: openStorage(primary) });
  });
}

const alarm = {
  outcome: "partial",
  replicas: [{ outcome: "partial", points: 1, errors: [{ code: "replica_shared" }] }],
};

test("each of them sees the other, goes on, and forgets nothing where both write", async () => {
  const host = await working(rest(["far"]));
  expect(await host.next("one")).toMatchObject({ outcome: "ok" });
  const copy = await copyOf(host);
  expect(await copy.next("two")).toMatchObject({ outcome: "ok" });
  const seen = await host.next("three");
  expect(seen).toMatchObject(alarm);
  expect(seen.replicas[0]?.errors[0]?.message).toMatch(
    /^Somebody else writes to far as this host does: recovery points of docs .* \(1 since the last run\), .* on test\. All points are whole/,
  );
  expect(seen.prune).toMatchObject([{ location: "primary", outcome: "ok" }]);
  expect(await copy.next("four")).toMatchObject(alarm);
  expect(await host.next("five")).toMatchObject(alarm);
  // The copy is ended.
  expect(await host.next("six")).toMatchObject({ outcome: "ok" });
});

test("nothing is forgotten either where the points of both are sent on", async () => {
  const host = await working(chain());
  await host.next("one");
  const copy = await copyOf(host, chain);
  await copy.clock.advance(90 * 60_000);
  await copy.next("two");
  const seen = await host.next("three");
  expect(seen.replicas).toMatchObject([{ errors: [{ code: "replica_shared" }] }, { outcome: "ok", points: 1 }]);
  expect(seen.prune).toMatchObject([{ location: "primary" }]);
  // The copy is ended: of a day, one is kept again.
  expect((await host.next("four")).prune).toMatchObject([
    { location: "primary" },
    {},
    { location: "far", forgotten: 2 },
  ]);
});

test("what a lost host had sent to another replica is no alarm, and what it sends after its recovery is one", async () => {
  const host = await working(rest(["near", "far"]));
  await host.next("one");
  const bringBack = await moveAway(host.site, "near");
  await host.next("two");
  await bringBack();
  const successor = await recoveredFrom("near", host);
  expect(await successor.times("far")).toEqual([1, 2]);
  expect(await successor.next("three")).toMatchObject({ outcome: "ok" });
  await host.next("four");
  const seen = await successor.next("five");
  expect(seen.replicas).toMatchObject([alarm.replicas[0], alarm.replicas[0]]);
});

test("what the primary has forgotten is its own", async () => {
  const host = await working(rest(["far"]));
  for (const text of ["one", "two", "three"]) await host.next(text);
  const bringBack = await moveAway(host.site);
  for (const text of ["four", "five"]) await host.next(text);
  await bringBack();
  expect(await host.next("six")).toMatchObject({ outcome: "ok" });
  expect(await host.times("far")).toHaveLength(6);
});
