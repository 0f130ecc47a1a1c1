/** A host with one image, its primary repository, and a configuration for each replica that it is measured with. */
import { createCipheriv } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import * as path from "node:path";
import { type Command, run } from "../measure.ts";
import { launcher } from "../peers/stillpoint.ts";

const mebibyte = 2 ** 20;

export interface OffsiteSite {
  readonly image: string;
  readonly repository: string;
  /** Captures the image into the primary alone. */
  capture(): Promise<void>;
  /** Makes a configuration with that replica, and the empty replica. Returns the configuration's path. */
  withReplica(name: string, replica: object): Promise<string>;
  /** Sealed bytes that the newest point added to the primary. */
  newBytes(): Promise<number>;
}

export async function makeOffsiteSite(folder: string, mebibytes: number): Promise<OffsiteSite> {
  mkdirSync(folder, { recursive: true });
  const image = path.join(folder, "image.raw");
  await writeImage(image, mebibytes);
  const configure = (file: string, more: { replicas?: object; replicate?: object }): string => {
    const { replicas = {}, replicate = {} } = more;
    const configuration = {
      version: 1,
      repository: { path: path.join(folder, "repository"), key_file: path.join(folder, "key") },
      replicas,
      sources: { image: { image: { path: image } } },
      policies: { image: { sources: ["image"], schedule: { manual: true }, keep: { last: 100 }, replicate } },
    };
    const config = path.join(folder, file);
    writeFileSync(config, JSON.stringify(configuration));
    return config;
  };
  const alone = configure("alone.yaml", {});
  await run(stillpoint(alone, "init"));
  return {
    image,
    repository: path.join(folder, "repository"),
    capture: async () => void (await run(stillpoint(alone, "run", "image", "--quiet"))),
    withReplica: async (name, replica) => {
      const config = configure(`${name}.yaml`, { replicas: { [name]: replica }, replicate: { [name]: {} } });
      await run(stillpoint(config, "init"));
      return config;
    },
    newBytes: async () => {
      const points = JSON.parse(await run(stillpoint(alone, "list", "--json"))) as { sizes: { stored: number } }[];
      return points.at(-1)?.sizes.stored ?? 0;
    },
  };
}

export function stillpoint(config: string, ...args: string[]): Command {
  return { program: launcher, args: [...args, "--config", config] };
}

/** What `replicate --json` says of the one replica. */
export interface Sent {
  /** From the first look at the replica to the last commit, without the start of the program. */
  readonly seconds: number;
  readonly bytes: number;
}

export function sentOf(printed: string): Sent {
  const [report] = JSON.parse(printed) as { outcome: string; started: string; finished: string; bytes_sent: number }[];
  if (report?.outcome !== "ok") throw new Error(`replicate: ${printed}`);
  const seconds = (Date.parse(report.finished) - Date.parse(report.started)) / 1000;
  return { seconds, bytes: report.bytes_sent };
}

/** Half of each page is noise, half can be compressed: about as the disk of a machine in use. No page is like another. */
async function writeImage(file: string, mebibytes: number): Promise<void> {
  const noise = createCipheriv("aes-256-ctr", Buffer.alloc(32, 1), Buffer.alloc(16));
  await using image = await open(file, "w");
  for (let at = 0; at < mebibytes; at++) {
    const piece = noise.update(Buffer.alloc(mebibyte));
    for (let page = 0; page < mebibyte; page += 4096) piece.fill("recovery", page + 2048, page + 4096);
    await image.write(piece);
  }
  await image.sync();
}
