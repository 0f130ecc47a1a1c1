/** Records of locked versions (docs/format.md section 12). */
import * as z from "zod";
import { randomBytes } from "../../host/random.ts";
import { damagedObject } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { compactTime } from "../points/manifest.ts";

/** Objects that one record names at most. */
const objectsPerRecord = 20_000;

const time = z.iso.datetime({ precision: 3 });
const schema = z.object({
  version: z.literal(1),
  repository: z.string(),
  time,
  until: time,
  points: z.array(z.string().regex(/^[0-9a-f]{32}$/)),
  objects: z.record(z.string(), z.string()),
});

/** Times in ms since the epoch, by the store's clock. */
export interface LockContent {
  readonly time: number;
  /** When the locks end, at the earliest. */
  readonly until: number;
  /** Ids of points of which everything is locked until then. */
  readonly points: readonly string[];
  /** Versions by the objects' names. */
  readonly objects: ReadonlyMap<string, string>;
}

export interface LockRecord extends LockContent {
  readonly name: string;
}

/** Records as many as it takes; the points are named by the last: when it is there, the others are, too. */
export function* sealLockRecords(
  keys: KeyRing,
  { objects, points, ...content }: LockContent,
): Generator<ReturnType<typeof sealLockRecord>> {
  const entries = [...objects];
  for (let at = 0; at === 0 || at < entries.length; at += objectsPerRecord) {
    const end = at + objectsPerRecord;
    const part = new Map(entries.slice(at, end));
    yield sealLockRecord(keys, { ...content, objects: part, points: end >= entries.length ? points : [] });
  }
}

/** A new record's object. */
export function sealLockRecord(keys: KeyRing, content: LockContent): { readonly name: string; readonly data: Buffer } {
  const json: z.input<typeof schema> = {
    version: 1,
    repository: keys.repositoryId,
    time: new Date(content.time).toISOString(),
    until: new Date(content.until).toISOString(),
    points: [...content.points],
    objects: Object.fromEntries(content.objects),
  };
  const name = `locks/${compactTime(content.until)}-${randomBytes(8).toString("hex")}`;
  return { name, data: keys.sealSigned("locks", Buffer.from(JSON.stringify(json))) };
}

/** Throws `damaged` when the object, its signature or its name isn't right. */
export function openLockRecord(keys: KeyRing, name: string, data: Buffer): LockRecord {
  const json = keys.openSigned("locks", data, name);
  let content: z.output<typeof schema>;
  try {
    content = schema.parse(JSON.parse(json.toString()));
  } catch (error) {
    throw damagedObject(name, "it isn't a record of locks of a known form", error);
  }
  if (content.repository !== keys.repositoryId) throw damagedObject(name, "it belongs to another repository");
  const until = Date.parse(content.until);
  if (untilOf(name) !== until) throw damagedObject(name, "its locks end at another time than its name says");
  const { points, objects } = content;
  return { name, time: Date.parse(content.time), until, points, objects: new Map(Object.entries(objects)) };
}

/** The end of the locks that a name claims, in ms since the epoch; undefined for a name that no record has. */
export function untilOf(name: string): number | undefined {
  const [, date, clock] = /^locks\/(\d{8})T(\d{9})Z-[0-9a-f]{16}$/.exec(name) ?? [];
  if (date === undefined || clock === undefined) return undefined;
  const day = `${date.slice(0, 4)}-${date.slice(4, 6)}-${date.slice(6)}`;
  const until = Date.parse(`${day}T${clock.slice(0, 2)}:${clock.slice(2, 4)}:${clock.slice(4, 6)}.${clock.slice(6)}Z`);
  return Number.isNaN(until) ? undefined : until;
}
