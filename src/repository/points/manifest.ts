/** Manifests: the record that makes a recovery point (docs/format.md section 9). */
import * as z from "zod";
import { damagedObject } from "../format.ts";
import { type KeyRing, sha256 } from "../keys/key-ring.ts";
import { machineSchema } from "./machine.ts";

export const consistencies = ["full-state", "application", "crash", "none"] as const;
export type Consistency = (typeof consistencies)[number];

const hexId = z.string().regex(/^[0-9a-f]{64}$/);
const size = z.int().min(0);
const time = z.iso.datetime({ precision: 3 });

/** Content as a stream tree. */
const streamRoot = z.object({ size, depth: z.int().min(0).max(16), root: hexId });

const directoryEntry = z.object({
  type: z.literal("directory"),
  mode: z.int().min(0).max(0o7777),
  uid: z.int().min(0),
  gid: z.int().min(0),
  mtime: z.string(),
  ctime: z.string(),
  inode: z.string(),
  tree: hexId,
  xattrs: z.record(z.string(), z.string()).optional(),
});

/** Names become paths in restores, so nothing in them may lead elsewhere. */
const partName = z
  .string()
  .refine((name) => !name.includes("\0") && name.split("/").every((piece) => !["", ".", ".."].includes(piece)));

const part = z.discriminatedUnion("kind", [
  streamRoot.extend({
    name: partName,
    kind: z.literal("image"),
    block: z
      .int()
      .min(512)
      .max(16 * 1024 * 1024),
  }),
  streamRoot.extend({ name: partName, kind: z.literal("stream") }),
  z.object({ name: partName, kind: z.literal("directory"), path: z.string(), entry: directoryEntry }),
]);

const leftOut = z.object({ path: z.string().optional(), path64: z.string().optional(), reason: z.string() });

const manifestSchema = z.object({
  version: z.literal(1),
  repository: z.string().regex(/^[0-9a-f]{32}$/),
  source: z.string().min(1),
  policy: z.string(),
  host: z.string(),
  kind: z.enum(["directory", "image", "command", "vm"]),
  time,
  started: time,
  finished: time,
  consistency: z.enum(consistencies),
  parts: z.array(part).min(1),
  previous: hexId.nullable(),
  tags: z.array(z.string()),
  statistics: z.object({ size, read: size, new: size, stored: size }),
  left_out: z.array(leftOut),
  left_out_count: size,
  software: z.object({ stillpoint: z.string(), node: z.string(), kernel: z.string() }),
  group: z.object({ id: z.string().regex(/^[0-9a-f]{32}$/), sources: z.array(z.string()).min(2) }).optional(),
  machine: machineSchema.optional(),
});

export type Manifest = Readonly<z.infer<typeof manifestSchema>>;
export type Part = Readonly<z.infer<typeof part>>;
export type ImagePart = Extract<Part, { kind: "image" }>;
export type StreamPart = Extract<Part, { kind: "stream" }>;
export type DirectoryPart = Extract<Part, { kind: "directory" }>;
/** Something that could not be captured: `path` (or `path64`, when it isn't UTF-8) and why. */
export type LeftOut = Readonly<z.infer<typeof leftOut>>;

/** A committed recovery point, verified. */
export interface RecoveryPoint {
  /** 32 hex digits: the beginning of `digest`. */
  readonly id: string;
  /** SHA-256 of the manifest's JSON: 64 hex digits. */
  readonly digest: string;
  /** The object's name. */
  readonly name: string;
  /** The instant captured, in ms since the epoch. */
  readonly time: number;
  readonly manifest: Manifest;
}

/** `20261122T113300123Z`, for object names. */
export function compactTime(ms: number): string {
  return new Date(ms).toISOString().replaceAll(/[-:.]/g, "");
}

/** The object of a manifest, and the recovery point that it makes once it is stored. */
export function sealManifest(
  keys: KeyRing,
  manifest: Manifest,
): { readonly point: RecoveryPoint; readonly data: Buffer } {
  const json = Buffer.from(JSON.stringify(manifest));
  const data = keys.sealSigned("manifest", json);
  return { point: describe(keys, manifest, json), data };
}

/** A verified recovery point. Throws `damaged` when the object, its signature or its name isn't right. */
export function openManifest(keys: KeyRing, name: string, data: Buffer): RecoveryPoint {
  const json = keys.openSigned("manifest", data, name);
  const point = describe(keys, parseManifest(json, name), json);
  if (point.name !== name) throw damagedObject(name, `it is the manifest of ${point.name}`);
  if (point.manifest.repository !== keys.repositoryId) throw damagedObject(name, "it belongs to another repository");
  return point;
}

function parseManifest(json: Buffer, name: string): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(json.toString()));
  } catch (error) {
    throw damagedObject(name, "it isn't a manifest of a known form", error);
  }
}

function describe(keys: KeyRing, manifest: Manifest, json: Buffer): RecoveryPoint {
  const digest = sha256(json).toString("hex");
  const id = digest.slice(0, 32);
  const at = Date.parse(manifest.time);
  return { id, digest, time: at, manifest, name: `points/${keys.sourceTag(manifest.source)}/${compactTime(at)}-${id}` };
}

/** What an object name says of a point, or undefined when it isn't a manifest's name. `time` is NaN where it says none that there is. */
export function parsePointName(
  name: string,
): { readonly sourceTag: string; readonly time: number; readonly id: string } | undefined {
  const match = /^points\/([0-9a-f]{32})\/(\d{8}T\d{9}Z)-([0-9a-f]{32})$/.exec(name);
  if (match === null) return undefined;
  const [, sourceTag, at, id] = match as unknown as [string, string, string, string];
  const iso = at.replace(/^(....)(..)(..)T(..)(..)(..)(...)Z$/, "$1-$2-$3T$4:$5:$6.$7Z");
  return { sourceTag, time: Date.parse(iso), id };
}
