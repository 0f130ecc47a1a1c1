/** What has been done to locked objects: the versions that are there, compared with those that were pinned. */
import type { ObjectLocks, ObjectVersion } from "../../storage/object-locks.ts";
import type { CallOptions, ObjectInfo } from "../../storage/storage.ts";
import { forEachAtOnce } from "../points/catalog.ts";
import type { Pins } from "./pins.ts";
import type { TrueVersion } from "./with-versions.ts";
import { sameContent } from "./versions.ts";

const readsAtOnce = 8;

/** `hidden`: it counts as deleted; `replaced`: something else is in its place; `gone`: not even the locked version is there. */
export interface Tampering extends TrueVersion {
  readonly kind: "hidden" | "replaced" | "gone";
  /** Until when that version is locked, in ms since the epoch. */
  readonly until: number;
}

/**
 * Compares all pinned objects with `versions`, by name. What was put over a version with the very same content is no
 * tampering: a put that was repeated, or a repair. Throws a storage error.
 */
export async function findTampering(
  locks: ObjectLocks,
  pins: Pins,
  versions: ReadonlyMap<string, readonly ObjectVersion[]>,
  options: CallOptions,
): Promise<Tampering[]> {
  const tampering: Tampering[] = [];
  await forEachAtOnce(pins.objects, readsAtOnce, async ([name, pin]) => {
    const present = versions.get(name) ?? [];
    const pinned = present.find(({ version }) => version === pin.version);
    const current = present.find((one) => one.current && !one.marker);
    const info: ObjectInfo = { name, size: pinned?.size ?? 0, time: pinned?.time ?? 0 };
    const tamper = (kind: Tampering["kind"]): unknown => tampering.push({ kind, ...pin, info });
    if (pinned === undefined) tamper("gone");
    else if (current === undefined) tamper("hidden");
    else if (!(await sameContent(locks, pinned, current, options))) tamper("replaced");
  });
  return tampering.toSorted((a, b) => (a.info.name < b.info.name ? -1 : 1));
}
