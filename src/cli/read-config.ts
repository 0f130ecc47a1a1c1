/** Finding and reading the configuration. */
import * as path from "node:path";
import type { Config } from "../policy/config.ts";
import { findState, loadConfig } from "../policy/load.ts";
import type { Cli } from "./cli.ts";
import { readText } from "./read-text.ts";

const usualPlace = "/etc/stillpoint/stillpoint.yaml";

export interface ConfigFlags {
  readonly config?: string;
}

/** Absolute: what is named, else STILLPOINT_CONFIG, else the usual place. */
export function configPath(flags: ConfigFlags, { environment }: Pick<Cli, "environment">): string {
  const { STILLPOINT_CONFIG: fromEnvironment = "" } = environment;
  return path.resolve(flags.config ?? (fromEnvironment === "" ? usualPlace : fromEnvironment));
}

/** Throws `config_missing` or `config_invalid`. */
export async function readConfig(flags: ConfigFlags, cli: Pick<Cli, "environment">): Promise<Config> {
  const file = configPath(flags, cli);
  return loadConfig(await readConfigText(file), file);
}

/** The folder by which a running daemon is reached; also by a file that isn't valid, which that daemon has refused. Throws as `readConfig` does. */
export async function readState(flags: ConfigFlags, cli: Pick<Cli, "environment">): Promise<string | undefined> {
  const file = configPath(flags, cli);
  return findState(await readConfigText(file), file);
}

export async function readConfigText(file: string): Promise<string> {
  return await readText(file, {
    what: "the configuration",
    code: "config_missing",
    next: "Name it with --config or STILLPOINT_CONFIG, or make one with `stillpoint init`. Without one, --repository and --key-file are enough to look into a repository and to restore.",
  });
}
