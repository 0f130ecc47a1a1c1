/** The state folder: what this host remembers between runs, and could find out again. Losing it loses no data. */
import { createHash } from "node:crypto";
import * as path from "node:path";
import type * as z from "zod";
import { StillpointError } from "../errors.ts";
import type { MemoryFile } from "../repository/points/catalog-memory.ts";
import { reasonOf } from "../host/errno-words.ts";
import { errnoOf, type Files } from "../host/files.ts";
import { makeFoldersDurably } from "../host/make-folders.ts";
import { nodeFiles } from "../host/node-files.ts";
import { writeDurably } from "../host/write-durably.ts";

export class StateFolder {
  readonly path: string;
  readonly #files: Files;

  constructor(folder: string, files: Files = nodeFiles) {
    this.path = folder;
    this.#files = files;
  }

  /** The record `name` (a path in the folder). Undefined when there is none, or none that can be read: it can be found out again. */
  async read<T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> {
    try {
      return schema.parse(JSON.parse((await this.#files.read(path.join(this.path, name))).toString()));
    } catch {
      return undefined;
    }
  }

  /** Makes the folder, for this user only, if it isn't there. Throws `storage_denied` or `storage_failed`. */
  async make(): Promise<void> {
    await this.#write(this.path, async () => await makeFoldersDurably(this.#files, this.path));
  }

  /** Writes a record durably. Throws `storage_denied` or `storage_failed`. */
  async write(name: string, record: unknown): Promise<void> {
    const file = path.join(this.path, name);
    await this.#write(file, async () => {
      await makeFoldersDurably(this.#files, path.dirname(file));
      await writeDurably(this.#files, file, [Buffer.from(`${JSON.stringify(record)}\n`)]);
    });
  }

  async #write(file: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const denied = ["EACCES", "EPERM", "EROFS"].includes(errnoOf(error) ?? "");
      throw new StillpointError(denied ? "storage_denied" : "storage_failed", {
        what: `Cannot write ${file}: ${reasonOf(error)}`,
        safe: "Recovery points are untouched.",
        next: "See that the state folder can be written (`repository.state` in the configuration).",
        cause: error,
      });
    }
  }

  /** What is remembered of the points of a location, at this place. Whoever can't write here (not root, say) goes without. */
  memoryOf(location: string, place: string): MemoryFile {
    const digest = createHash("sha256").update(place).digest("hex").slice(0, 16);
    const file = path.join(this.path, "catalogs", `${location}-${digest}`);
    return {
      read: async () => await this.#files.read(file).catch(() => undefined),
      write: async (data) => {
        try {
          await makeFoldersDurably(this.#files, path.dirname(file));
          await writeDurably(this.#files, file, [data]);
        } catch {
          // It only saves time: the catalog itself was read, and is shown.
        }
      },
    };
  }
}
