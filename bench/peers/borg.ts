import * as path from "node:path";
import type { Command } from "../measure.ts";
import type { Peer } from "./peer.ts";

let archives = 0;

/** borg with its own defaults, encrypted as the others are, and with the compression that they have. */
export const borg: Peer = {
  name: "borg",
  version: { program: "borg", args: ["--version"] },
  create: (folder) => [command(folder, ["init", "--encryption", "repokey", path.join(folder, "repository")])],
  backup: (folder, { name, path: source }) => {
    archives += 1;
    const archive = `${path.join(folder, "repository")}::${name}-${String(archives)}`;
    return command(folder, ["create", "--compression", "zstd,1", archive, source]);
  },
  restore: (folder, { name }, target) => {
    const archive = `${path.join(folder, "repository")}::${name}-${String(archives)}`;
    return command(folder, ["extract", "--sparse", archive], target);
  },
  restored: ({ path: source }, target) => path.join(target, source),
  check: (folder) => command(folder, ["check", "--verify-data", path.join(folder, "repository")]),
};

function command(folder: string, args: readonly string[], cwd?: string): Command {
  return { program: "borg", args, cwd, env: { BORG_PASSPHRASE: "measured", BORG_BASE_DIR: path.join(folder, "base") } };
}
