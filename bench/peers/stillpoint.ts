import { writeFileSync } from "node:fs";
import * as path from "node:path";
import type { Command } from "../measure.ts";
import type { Peer, Source } from "./peer.ts";

export const launcher = path.resolve(import.meta.dirname, "../../bin/stillpoint");

/** Stillpoint as an administrator runs it: the launcher, what was built, a configuration. */
export const stillpoint: Peer = {
  name: "stillpoint",
  version: { program: launcher, args: ["--version"] },
  create: (folder, sources) => {
    writeFileSync(configOf(folder), JSON.stringify(configuration(folder, sources)));
    return [command(folder, "init")];
  },
  backup: (folder, { name }) => command(folder, "run", name, "--quiet"),
  restore: (folder, source, target) =>
    command(folder, "restore", "latest", "--source", source.name, "--to", inTarget(source, target), "--quiet"),
  restored: inTarget,
  check: (folder) => command(folder, "check", "--read-data", "--quiet"),
};

function inTarget({ name }: Source, target: string): string {
  return path.join(target, name);
}

function command(folder: string, ...args: string[]): Command {
  return { program: launcher, args: [...args, "--config", configOf(folder)] };
}

export function configOf(folder: string): string {
  return path.join(folder, "stillpoint.yaml");
}

/** JSON, which is YAML as well. One policy for each source, by its name. */
function configuration(folder: string, sources: readonly Source[]): object {
  const each = <T>(make: (source: Source) => T): Record<string, T> =>
    Object.fromEntries(sources.map((source) => [source.name, make(source)]));
  return {
    version: 1,
    repository: { path: path.join(folder, "repository"), key_file: path.join(folder, "key") },
    sources: each(({ name, path: source }) => ({ [name === "image" ? "image" : "directory"]: { path: source } })),
    policies: each(({ name }) => ({ sources: [name], schedule: { manual: true }, keep: { last: 100 } })),
  };
}
