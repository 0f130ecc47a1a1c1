/** How long a machine that is to be booted may make no progress, and what is said when it made none. */
import * as fs from "node:fs/promises";
import { StillpointError } from "../../errors.ts";
import type { BootPaths } from "./boot-folder.ts";

/**
 * In ms. Longer than a storage's driver waits for an answer that doesn't come (storage/drivers), so that it can try again; and
 * a server of files that is restarted is back by then.
 */
export const stallLimit = 5 * 60_000;

/** Bytes of the end of the log that an error quotes. */
const quoted = 1000;

/** The last that QEMU has said, and that couldn't be read, on one line: `, saying: …`, or nothing. */
export async function lastWords({ log }: BootPaths): Promise<string> {
  const end = (await fs.readFile(log, "utf8").catch(() => "")).slice(-quoted);
  const words = end.split("\n").filter(Boolean).slice(-5).join(" / ");
  return words === "" ? "" : `, saying: ${words}`;
}

/** `doing` completes "… for N minutes while". */
export async function stalled(paths: BootPaths, doing: string, cause?: unknown): Promise<StillpointError> {
  return new StillpointError("boot_failed", {
    what: `Cannot start the machine: nothing has moved for ${stallLimit / 60_000} minutes while ${doing}${await lastWords(paths)}`,
    safe: "The recovery point is untouched, and nothing of the attempt is left here.",
    next: "See whether the storage answers; another copy boots with --location or --repository.",
    cause,
  });
}
