/** The same work by every program in turn, on the same data, in one run. */
import { mkdirSync, rmSync } from "node:fs";
import * as path from "node:path";
import { bytesIn, type Data, settle, writeRandomly } from "./data.ts";
import { type Command, type Cost, measure, run } from "./measure.ts";
import { operations } from "./operations.ts";
import { borg } from "./peers/borg.ts";
import type { Peer, Source } from "./peers/peer.ts";
import { restic } from "./peers/restic.ts";
import { stillpoint } from "./peers/stillpoint.ts";
import type { Results } from "./results.ts";

const randomWrites = 1311;

export const peers: readonly Peer[] = [stillpoint, restic, borg];

/** Those that are installed. */
export async function presentPeers(): Promise<{ readonly peer: Peer; readonly version: string }[]> {
  const present = [];
  for (const peer of peers) {
    const version = await run(peer.version).catch(() => undefined);
    if (version === undefined) console.log(`${peer.name} isn't there, and is left out.`);
    else present.push({ peer, version: version.trim() });
  }
  return present;
}

export interface Bench {
  readonly work: string;
  readonly data: Data;
  readonly results: Results;
  readonly peers: readonly Peer[];
  readonly round: number;
}

/** First capture, after random writes, unchanged, restore, and the reading of everything stored. */
export async function measureImage(bench: Bench): Promise<void> {
  const { image } = bench.data;
  await createRepositories(bench, image);
  await measureOne(bench, operations.imageFirst, "primitives", image.path, primitives(image));
  await backUp(bench, operations.imageFirst, image);
  await writeRandomly(image.path, randomWrites, bench.round);
  await backUp(bench, operations.imageWritten, image);
  // As if it were in use: a file whose time didn't change isn't read at all by the others.
  await run({ program: "touch", args: [image.path] });
  await backUp(bench, operations.imageUnchanged, image);
  await restore(bench, operations.imageRestore, image);
  for (const peer of inTurn(bench)) {
    const folder = folderOf(bench, peer);
    await measureOne(bench, operations.check, peer.name, path.join(folder, "repository"), peer.check(folder));
  }
  removeRepositories(bench);
}

/** First capture, unchanged, restore. */
export async function measureTree(bench: Bench): Promise<void> {
  const { tree } = bench.data;
  await createRepositories(bench, tree);
  await backUp(bench, operations.treeFirst, tree);
  await backUp(bench, operations.treeUnchanged, tree);
  await restore(bench, operations.treeRestore, tree);
  removeRepositories(bench);
}

async function backUp(bench: Bench, operation: string, source: Source): Promise<void> {
  for (const peer of inTurn(bench)) {
    const folder = folderOf(bench, peer);
    const repository = path.join(folder, "repository");
    const before = bytesIn(repository);
    const storedBytes = (): number => bytesIn(repository) - before;
    await measureOne(bench, operation, peer.name, source.path, peer.backup(folder, source), storedBytes);
  }
}

async function restore(bench: Bench, operation: string, source: Source): Promise<void> {
  for (const peer of inTurn(bench)) {
    const folder = folderOf(bench, peer);
    const target = path.join(bench.work, "restored", `${peer.name}-${String(bench.round)}`);
    mkdirSync(target, { recursive: true });
    await measureOne(
      bench,
      operation,
      peer.name,
      path.join(folder, "repository"),
      peer.restore(folder, source, target),
    );
    // Speed counts only for what is right. Times of last access may differ.
    if (bench.round === 1) {
      const compare = source.name === "image" ? ["cmp"] : ["diff", "--recursive", "--no-dereference"];
      await run({ program: "env", args: [...compare, source.path, peer.restored(source, target)] });
    }
    // Trees stay until the end: ext4 takes inodes that were freed in the last minutes for new files only after a long search,
    // which would be the next program's time.
    if (source.name === "image") rmSync(target, { recursive: true });
  }
}

async function measureOne(
  bench: Bench,
  operation: string,
  peer: string,
  reads: string,
  command: Command,
  storedBytes?: () => number,
): Promise<void> {
  await settle(reads);
  const cost: Cost = await measure(command);
  bench.results.samples.push({ operation, peer, ...cost, storedBytes: storedBytes?.() });
  const memory = `${(cost.peakBytes / 2 ** 20).toFixed(0)} MiB`;
  console.log(`  round ${String(bench.round)}  ${operation}  ${peer}  ${cost.seconds.toFixed(2)} s  ${memory}`);
}

/** Another one begins in each round. */
function inTurn({ peers: all, round }: Bench): Peer[] {
  const first = round % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

function folderOf({ work }: Bench, peer: Peer): string {
  return path.join(work, "repositories", peer.name);
}

async function createRepositories(bench: Bench, source: Source): Promise<void> {
  removeRepositories(bench);
  for (const peer of bench.peers) {
    const folder = folderOf(bench, peer);
    mkdirSync(folder, { recursive: true });
    for (const command of peer.create(folder, [source])) await run(command);
  }
}

function removeRepositories({ work }: Bench): void {
  rmSync(path.join(work, "repositories"), { recursive: true, force: true });
}

function primitives({ path: image }: Source): Command {
  const program = path.join(import.meta.dirname, "primitives.ts");
  return { program: process.execPath, args: ["--disable-warning=ExperimentalWarning", program, image] };
}
