import { exitStatus } from "../errors.ts";
import type { Catalog } from "../repository/points/catalog.ts";
import type { Cli } from "./cli.ts";
import { count } from "./format.ts";

/** Manifests and notes that can't be used are in no list; that must not go unseen. Makes the exit status 4. */
export function reportDamage(cli: Pick<Cli, "output" | "exit">, { damaged }: Catalog): void {
  if (damaged.length === 0) return;
  for (const { error } of damaged) cli.output.note(`stillpoint: ${error.parts.what}.`);
  cli.output.note(
    `stillpoint: ${count(damaged.length, "object")} can't be read, so recovery points, or what was noted about them, may be missing here. \`stillpoint check\` says more; \`stillpoint repair\` mends what a replica still has.`,
  );
  cli.exit = exitStatus.damage;
}
