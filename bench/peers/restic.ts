import * as path from "node:path";
import type { Command } from "../measure.ts";
import type { Peer } from "./peer.ts";

/** restic with its own defaults. From 0.14 on, those include compression (`--compression auto`). */
export const restic: Peer = {
  name: "restic",
  version: { program: "restic", args: ["version"] },
  create: (folder) => [command(folder, "init")],
  backup: (folder, { path: source }) => command(folder, "backup", source),
  restore: (folder, { path: source }, target) =>
    command(folder, "restore", "latest", "--path", source, "--target", target),
  restored: ({ path: source }, target) => path.join(target, source),
  check: (folder) => command(folder, "check", "--read-data"),
};

function command(folder: string, ...args: string[]): Command {
  const cache = path.join(folder, "cache");
  const env = { RESTIC_PASSWORD: "measured", RESTIC_CACHE_DIR: cache };
  return { program: "restic", args: ["--repo", path.join(folder, "repository"), "--quiet", ...args], env };
}
