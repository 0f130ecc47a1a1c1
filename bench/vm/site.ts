/** Stillpoint as an administrator runs it, with one source. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { type Cost, measure, run } from "../measure.ts";
import { bytesIn } from "../data.ts";
import { configOf } from "../peers/stillpoint.ts";
import { verb } from "../scale/repository.ts";

/** What is looked at of a point. */
interface Shown {
  readonly machine?: { readonly pause: number; readonly method: string };
}

export class Site {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** A new configuration and repository in `folder`; `source` and `replicas` as a configuration has them. */
  static async make(folder: string, source: object, replicas = {}): Promise<Site> {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const replicate = Object.fromEntries(Object.keys(replicas).map((name) => [name, {}]));
    const configuration = {
      version: 1,
      repository: { path: path.join(folder, "repository"), key_file: path.join(folder, "key") },
      replicas,
      sources: { one: source },
      policies: { one: { sources: ["one"], schedule: { manual: true }, keep: { last: 100 }, replicate } },
    };
    writeFileSync(configOf(folder), JSON.stringify(configuration));
    const site = new Site(folder);
    await site.run("init");
    return site;
  }

  async run(...args: readonly string[]): Promise<string> {
    return await run(verb(this.folder, ...args));
  }

  /** A capture: what it cost, and by how many bytes the repository grew. */
  async capture(): Promise<Cost & { readonly stored: number }> {
    const repository = path.join(this.folder, "repository");
    const before = bytesIn(repository);
    const cost = await measure(verb(this.folder, "run", "one", "--quiet"));
    return { ...cost, stored: bytesIn(repository) - before };
  }

  /** What the newest point says of its machine. */
  async machine(): Promise<{ readonly pause: number; readonly method: string }> {
    const { machine } = JSON.parse(await this.run("show", "latest", "--source", "one", "--json")) as Shown;
    if (machine === undefined) throw new Error("the newest point isn't of a machine");
    return machine;
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
