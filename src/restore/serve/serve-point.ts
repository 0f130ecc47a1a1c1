/** Serves the disks of a recovery point by NBD, read-only. */
import * as fs from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { StillpointError } from "../../errors.ts";
import { type NbdAddress, NbdServer } from "../../nbd/server.ts";
import { exportImage } from "./export-image.ts";
import { removeDeadSocket } from "./remove-dead-socket.ts";
import { PointImages, type PointImagesOptions } from "./point-images.ts";

export interface ServeOptions extends PointImagesOptions {
  /** Only this disk; all of them by default. */
  readonly disk?: string | undefined;
  /** By default a UNIX socket in a new folder for this user only, removed at the end. */
  readonly address?: NbdAddress | undefined;
  /** Told of what couldn't be read. */
  readonly onFailure?: ((message: string) => void) | undefined;
}

export interface ServedDisk {
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  readonly uri: string;
}

export interface Serving {
  readonly disks: readonly ServedDisk[];
  close(): Promise<void>;
}

/** Begins to serve. Throws `not_found` (there is no such disk, or none), `busy`, `storage_denied` or `storage_failed`. */
export async function servePoint(options: ServeOptions): Promise<Serving> {
  const { point, disk, onFailure } = options;
  const images = new PointImages(options);
  const names = disk === undefined ? images.disks : [disk];
  if (names.length === 0) {
    throw new StillpointError("not_found", {
      what: `The recovery point ${point.id} has no disks`,
      next: "`stillpoint restore` and `stillpoint cat` bring back what it has.",
    });
  }
  const description = `${point.manifest.source} at ${point.manifest.time}, recovery point ${point.id}`;
  const exports = names.map((name) => exportImage(images.disk(name), { name, description, onFailure }));
  const folder =
    options.address === undefined ? await fs.mkdtemp(path.join(os.tmpdir(), "stillpoint-nbd-")) : undefined;
  const address = options.address ?? { socket: path.join(folder ?? "", "nbd.sock") };
  try {
    if ("socket" in address) await removeDeadSocket(address.socket);
    const server = await NbdServer.listen({ exports, address });
    return {
      disks: exports.map((one) => ({ name: one.name, size: one.size, uri: server.uri(one) })),
      close: async () => {
        await server.close();
        await removeFolder(folder);
      },
    };
  } catch (error) {
    await removeFolder(folder);
    throw error;
  }
}

async function removeFolder(folder: string | undefined): Promise<void> {
  if (folder !== undefined) await fs.rm(folder, { recursive: true, force: true });
}
