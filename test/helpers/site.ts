import * as fs from "node:fs/promises";
import * as path from "node:path";
import type { Clock } from "../../src/host/clock.ts";
import { systemClock } from "../../src/host/clock.ts";
import { addressOfPrimary } from "../../src/job/locations.ts";
import type { Config } from "../../src/policy/config.ts";
import { loadConfig } from "../../src/policy/load.ts";
import { newKeyFile } from "../../src/repository/keys/key-objects.ts";
import { createRepository, type Repository } from "../../src/repository/repository.ts";
import { createStorage, openStorage } from "../../src/storage/open.ts";
import { tempDir } from "./temp-dir.ts";

/** A host of its own for a test: a folder with a configuration, a key, an empty repository, and something to protect. */
export interface Site {
  readonly root: string;
  readonly configFile: string;
  readonly config: Config;
  readonly primary: Repository;
  /** A path in the site's folder. */
  readonly at: (...names: string[]) => string;
}

export interface SiteOptions {
  readonly clock?: Clock;
  /** What follows `version` and `repository` in the configuration. */
  readonly rest?: string;
  /** Where the site is; a temporary folder by default. */
  readonly root?: string;
}

const usualRest = `
replicas:
  far: { path: replicas/far }
sources:
  docs: { directory: { path: docs } }
policies:
  often:
    sources: [docs]
    schedule: { manual: true }
    objectives: { rpo: 1h, offsite_rpo: 2h }
    keep: { last: 2 }
    replicate: { far: {} }
daemon: { listen: "127.0.0.1:0" }
`;

export async function makeSite({ clock = systemClock, rest = usualRest, root }: SiteOptions = {}): Promise<Site> {
  const folder = root ?? (await tempDir());
  const at = (...names: string[]): string => path.join(folder, ...names);
  await fs.mkdir(at("docs"), { recursive: true });
  await fs.mkdir(at("replicas"), { recursive: true });
  await fs.writeFile(at("docs", "letter"), "Dear all,\n");
  const { text, secret } = newKeyFile();
  await fs.writeFile(at("key"), text);
  await fs.writeFile(at("stillpoint.yaml"), `version: 1\nrepository: { path: repository, key_file: key }\n${rest}`);
  const configFile = at("stillpoint.yaml");
  const config = loadConfig(await fs.readFile(configFile, "utf8"), configFile);
  const address = addressOfPrimary(config);
  await createStorage(address);
  const storage = openStorage(address, { clock });
  const key = { type: "key-file", secret } as const;
  const primary = await createRepository({ storage, clock, key, label: "test", address });
  return { root: folder, configFile, config, primary, at };
}
