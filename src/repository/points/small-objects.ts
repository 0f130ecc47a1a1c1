/** Tags, holds, readers, proofs, forgotten and sweep records, and configurations (docs/format.md sections 10 and 11). */
import * as z from "zod";
import { randomBytes } from "../../host/random.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { damagedObject, type ObjectType } from "../format.ts";
import { compactTime } from "./manifest.ts";
import type { Repository } from "../repository.ts";

const pointId = z.string().regex(/^[0-9a-f]{32}$/);
const packId = z.string().regex(/^[0-9a-f]{64}$/);
const time = z.iso.datetime({ precision: 3 });
const aboutPoint = { version: z.literal(1), point: pointId, time };

/** The JSON of each type, by the folder it is kept in. */
const schemas = {
  tags: z.object({ ...aboutPoint, tags: z.array(z.string()) }),
  holds: z.object({ ...aboutPoint, reason: z.string() }),
  readers: z.object({ ...aboutPoint, reader: z.string() }),
  proofs: z.object({
    ...aboutPoint,
    method: z.enum(["read-data", "restore"]),
    result: z.enum(["passed", "failed"]),
    seconds: z.number().min(0),
    detail: z.string(),
  }),
  forgotten: z.object({ ...aboutPoint, source: z.string(), digest: packId, point_time: time, reason: z.string() }),
  sweeps: z.object({
    version: z.literal(1),
    time,
    grace: z.int().min(0),
    points: z.array(pointId),
    condemned: z.array(packId),
    orphans: z.array(packId),
  }),
  config: z.object({ version: z.literal(1), time, host: z.string(), path: z.string(), text: z.string() }),
};

export type SmallFolder = keyof typeof schemas;
export type SmallObject<F extends SmallFolder> = Readonly<z.infer<(typeof schemas)[F]>>;
export type Proof = SmallObject<"proofs">;
export type Hold = SmallObject<"holds">;
export type Forgotten = SmallObject<"forgotten">;
export type SweepRecord = SmallObject<"sweeps">;
export type KeptConfig = SmallObject<"config">;

const types: Record<SmallFolder, ObjectType> = {
  tags: "tags",
  holds: "hold",
  readers: "reader",
  proofs: "proof",
  forgotten: "forgotten",
  sweeps: "sweep",
  config: "config",
};

/** A new object's name: by point where there is one per point, else by time too. */
function smallObjectName<F extends SmallFolder>(folder: F, object: SmallObject<F>): string {
  const moment = `${compactTime(Date.parse(object.time))}-${randomBytes(8).toString("hex")}`;
  if (!("point" in object)) return `${folder}/${moment}`;
  const place = `${folder}/${String(object.point)}`;
  return folder === "holds" || folder === "forgotten" ? place : `${place}/${moment}`;
}

/** Stores the object, durably; returns its name. */
export async function putSmallObject<F extends SmallFolder>(
  repository: Repository,
  folder: F,
  object: SmallObject<F>,
  options?: CallOptions,
): Promise<string> {
  const name = smallObjectName(folder, object);
  const sealed = repository.keys.sealObject(types[folder], Buffer.from(JSON.stringify(object)));
  await repository.storage.put(name, [sealed], options);
  return name;
}

/** Throws `damaged` (also when the object is about another point than its name says) or a storage error. */
export async function getSmallObject<F extends SmallFolder>(
  repository: Repository,
  folder: F,
  name: string,
  options?: CallOptions,
): Promise<SmallObject<F>> {
  const plain = repository.keys.openObject(types[folder], await repository.storage.get(name, undefined, options), name);
  let object: SmallObject<F>;
  try {
    // The schema of F yields a SmallObject<F>; TypeScript can't relate the two through the table.
    object = schemas[folder].parse(JSON.parse(plain.toString())) as unknown as SmallObject<F>;
  } catch (error) {
    throw damagedObject(name, "it isn't of a known form", error);
  }
  const [, first, second] = name.split("/");
  if ("point" in object && first !== object.point) throw damagedObject(name, "it is about another point");
  // Else somebody could give an old object the place of the newest one.
  const moment = "point" in object ? second : first;
  if (moment !== undefined && !moment.startsWith(`${compactTime(Date.parse(object.time))}-`)) {
    throw damagedObject(name, "it was written at another time");
  }
  return object;
}
