/** Repositories for synthetic data: made by the program itself, then filled without waiting for a disk. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { systemClock } from "../../src/host/clock.ts";
import { nodeFiles } from "../../src/host/node-files.ts";
import { parseKeyFile } from "../../src/repository/keys/key-objects.ts";
import type { Manifest, Part } from "../../src/repository/points/manifest.ts";
import { openRepository, type Repository } from "../../src/repository/repository.ts";
import { FsStorage } from "../../src/storage/drivers/fs.ts";
import { type Command, run } from "../measure.ts";
import { configOf, launcher } from "../peers/stillpoint.ts";

export interface ScaleOptions {
  readonly sources: readonly string[];
  /** Whether there is a replica, below the same folder. */
  readonly replica: boolean;
}

/** Makes a configuration, a key and repositories in `folder`. The sources are images that need not be there. */
export async function initialise(folder: string, { sources, replica }: ScaleOptions): Promise<void> {
  const entries = sources.map((name) => [name, { image: { path: path.join(folder, "image") } }] as const);
  const policy = {
    sources,
    schedule: { manual: true },
    keep: { last: 10_000, daily: 100, monthly: -1 },
    ...(replica ? { replicate: { far: {} } } : {}),
  };
  const configuration = {
    version: 1,
    repository: { path: path.join(folder, "repository"), key_file: path.join(folder, "key") },
    ...(replica ? { replicas: { far: { path: path.join(folder, "replica") } } } : {}),
    sources: Object.fromEntries(entries),
    policies: { all: policy },
    daemon: { listen: "127.0.0.1:9469" },
  };
  mkdirSync(folder, { recursive: true });
  writeFileSync(configOf(folder), JSON.stringify(configuration));
  await run(verb(folder, "init"));
}

export function verb(folder: string, ...args: string[]): Command {
  return { program: launcher, args: [...args, "--config", configOf(folder)] };
}

/** `name` is `repository` or `replica`. What is put into it isn't forced to the disk. */
export async function openUndurably(folder: string, name: string): Promise<Repository> {
  const root = path.join(folder, name);
  const files = {
    ...nodeFiles,
    createSynced: async (file: string, pieces: readonly Uint8Array[]) =>
      await writeFile(file, Buffer.concat(pieces), { mode: 0o600 }),
    syncFolder: async () => await Promise.resolve(),
  };
  const storage = new FsStorage({ location: name, root, files, clock: systemClock });
  const secret = parseKeyFile(readFileSync(path.join(folder, "key"), "utf8"), "key");
  return await openRepository({ storage, clock: systemClock, secret: { type: "key-file", secret } });
}

export interface PointOptions {
  readonly source: string;
  /** ms since the epoch. */
  readonly time: number;
  readonly part: Part;
  readonly previous: string | null;
}

/** A manifest such as a capture of an image makes. */
export function manifestOf(repository: Repository, { source, time, part, previous }: PointOptions): Manifest {
  const iso = new Date(time).toISOString();
  const size = "size" in part ? part.size : 0;
  return {
    version: 1,
    repository: repository.keys.repositoryId,
    source,
    policy: "all",
    host: "bench",
    kind: "image",
    time: iso,
    started: iso,
    finished: iso,
    consistency: "crash",
    parts: [part],
    previous,
    tags: ["synthetic"],
    statistics: { size, read: size, new: 1_000_000, stored: 500_000 },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "0", node: process.version, kernel: "" },
  };
}
