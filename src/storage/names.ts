/** Names of objects, as the storage contract has them. */

import { StillpointError } from "../errors.ts";

const segment = "(?!\\.{1,2}(?:/|$))[A-Za-z0-9._-]+";
const namePattern = new RegExp(`^(?!tmp(?:/|$))${segment}(?:/${segment})*$`);
const prefixPattern = /^(?:[A-Za-z0-9._-]+\/)*[A-Za-z0-9._-]*$/;

/** Whether an object may have this name. `tmp` is kept for a driver's own unfinished work. */
export function isObjectName(name: string): boolean {
  return namePattern.test(name);
}

/** @throws StillpointError `internal`: names are made by Stillpoint, so a bad one is a defect. */
export function requireObjectName(name: string): void {
  if (!isObjectName(name))
    throw new StillpointError("internal", { what: `Cannot use ${JSON.stringify(name)} as the name of an object` });
}

/** @throws StillpointError `internal` for what no name can begin with. */
export function requirePrefix(prefix: string): void {
  const climbs = prefix
    .split("/")
    .slice(0, -1)
    .some((part) => part === "." || part === "..");
  if (climbs || !prefixPattern.test(prefix)) {
    throw new StillpointError("internal", {
      what: `Cannot use ${JSON.stringify(prefix)} as the beginning of objects' names`,
    });
  }
}
