/** The golden repository, for tests of verbs that look into one. */
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { stillpoint, temporaryFolder } from "./harness.ts";

export const vectors = join(import.meta.dirname, "../vectors");

/** The options that open it. */
export const golden = [
  "--repository",
  join(vectors, "repository-v1"),
  "--key-file",
  join(vectors, "key-file"),
] as const;

/** A copy that a test may change, and the options that open it. */
export function goldenCopy(): { repository: string; options: string[] } {
  const repository = join(temporaryFolder(), "repository");
  cpSync(join(vectors, "repository-v1"), repository, { recursive: true });
  // Git keeps no empty folders.
  mkdirSync(join(repository, "tmp"), { recursive: true });
  return { repository, options: ["--repository", repository, "--key-file", join(vectors, "key-file")] };
}

/** What a verb that succeeds prints with `--json`. */
export async function json(args: readonly string[]): Promise<unknown> {
  const { status, stdout, stderr } = await stillpoint([...args, "--json"]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}
