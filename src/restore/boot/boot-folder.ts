/** The folder of a booted machine, and what is remembered in it for whoever lists and stops boots. */
import * as fs from "node:fs/promises";
import * as path from "node:path";
import * as z from "zod";
import { StillpointError } from "../../errors.ts";
import { errnoOf } from "../../host/files.ts";
import { randomBytes } from "../../host/random.ts";

const processSchema = z.object({ pid: z.int().min(1), startTime: z.string() });

/** With its start time a number names one process for ever. */
export type ProcessName = Readonly<z.infer<typeof processSchema>>;

const recordSchema = z.object({
  version: z.literal(1),
  /** Its name: that of the folder. */
  boot: z.string(),
  /** Of the recovery point, and its source; null until it has been found. */
  id: z.string().nullable(),
  source: z.string().nullable(),
  /** When it was begun. */
  started: z.iso.datetime(),
  /** Whether the folder stays when the machine has ended. */
  keep: z.boolean(),
  /** Whether a machine that is to stay needs nobody any more; null for one that isn't to stay. */
  settled: z.boolean().nullable().default(null),
  /** Who serves its disks and memory, until it needs that no more. Before that has begun, who is about to start it. */
  supervisor: processSchema,
  /** Null until it has been started. */
  qemu: processSchema.nullable(),
  serial: z.array(z.string()),
});

export type BootRecord = Readonly<z.infer<typeof recordSchema>>;

export interface BootPaths {
  readonly folder: string;
  readonly record: string;
  readonly log: string;
  readonly nbd: string;
  readonly qmp: string;
  /** Of a machine that is to stay: for whoever looks after it until it does. */
  readonly control: string;
  /** Where such a machine takes its memory from. */
  readonly postcopy: string;
  /** Where memory is mounted: files named by the numbers of their RAM blocks. */
  readonly memory: string;
  readonly overlay: (number: number) => string;
  readonly file: (number: number) => string;
  readonly serial: (number: number) => string;
  readonly channel: (number: number) => string;
}

export function pathsOf(folder: string): BootPaths {
  const at = (name: string): string => path.join(folder, name);
  return {
    folder,
    record: at("boot.json"),
    log: at("boot.log"),
    nbd: at("nbd.sock"),
    qmp: at("qmp.sock"),
    control: at("control.sock"),
    postcopy: at("postcopy.sock"),
    memory: at("memory"),
    overlay: (number) => at(`disk${number}.qcow2`),
    file: (number) => at(`file${number}`),
    serial: (number) => at(`serial${number}.log`),
    channel: (number) => at(`channel${number}.sock`),
  };
}

/** What a path of a socket may have, in bytes (`sun_path` of unix(7), without its end). */
const longestSocket = 107;

/** Makes a folder for a new boot below `base`, for this user only. Throws `target_failed`. */
export async function makeBootFolder(base: string): Promise<string> {
  const folder = path.join(path.resolve(base), randomBytes(4).toString("hex"));
  if (Buffer.byteLength(pathsOf(folder).channel(99)) > longestSocket) {
    throw cannotMake(folder, "the path is too long for the sockets in it", "Choose a shorter one with --state.");
  }
  try {
    await fs.mkdir(path.dirname(folder), { recursive: true, mode: 0o700 });
    await fs.mkdir(folder, { mode: 0o700 });
    return folder;
  } catch (error) {
    throw cannotMake(folder, (error as Error).message, "Choose another place with --state.", error);
  }
}

function cannotMake(folder: string, why: string, next: string, cause?: unknown): StillpointError {
  return new StillpointError("target_failed", {
    what: `Cannot make the folder ${folder} for the machine: ${why}`,
    safe: "Recovery points are untouched.",
    next,
    cause,
  });
}

/** Replaces the record in one step. */
export async function writeRecord({ record }: BootPaths, content: BootRecord): Promise<void> {
  await fs.writeFile(`${record}.new`, `${JSON.stringify(content)}\n`, { mode: 0o600 });
  await fs.rename(`${record}.new`, record);
}

/** Undefined when there is none, or none that can be read. */
export async function readRecord({ record }: BootPaths): Promise<BootRecord | undefined> {
  try {
    return recordSchema.parse(JSON.parse(await fs.readFile(record, "utf8")));
  } catch {
    return undefined;
  }
}

/** Paths of all boots below `base`; none when there is no such folder. Throws what the system says otherwise. */
export async function bootFolders(base: string): Promise<BootPaths[]> {
  try {
    const names = await fs.readdir(base);
    return names.filter((name) => /^[0-9a-f]{8}$/.test(name)).map((name) => pathsOf(path.resolve(base, name)));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
