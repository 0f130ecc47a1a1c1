/** A repository on a real file system, into which guests are captured, and from which what was captured is read back. */
import * as fs from "node:fs";
import * as path from "node:path";
import { captureGroup } from "../../../src/capture/capture-group.ts";
import { captureSource, type CaptureOptions, type CaptureReport } from "../../../src/capture/capture-source.ts";
import type { VmSource } from "../../../src/capture/vm/vm-source.ts";
import { systemClock } from "../../../src/host/clock.ts";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { blobKinds, imageFanOut } from "../../../src/repository/format.ts";
import { type CatalogPoint, loadCatalog } from "../../../src/repository/points/catalog.ts";
import { newKeyFile } from "../../../src/repository/keys/key-objects.ts";
import type { MachineDisk } from "../../../src/repository/points/machine.ts";
import type { RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { createRepository, type Repository } from "../../../src/repository/repository.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { imageLeaves, isHole, readImageLeaf } from "../../../src/repository/tree/image-tree.ts";
import { createStorage, openStorage } from "../../../src/storage/open.ts";
import { tempDir } from "../temp-dir.ts";
import { type Guest, isListening, waitFor } from "./qemu.ts";

/** A second QMP socket: the first one is Stillpoint's, also while it captures. */
export function controlSocket(folder: string): string[] {
  return ["-qmp", `unix:${path.join(folder, "control")},server=on,wait=off`];
}

export async function control(guest: Guest): Promise<Qmp> {
  const socket = path.join(guest.folder, "control");
  await waitFor("QEMU's second QMP socket", () => isListening(socket));
  // On a busy machine QEMU takes long to bring its disks' last writes to the medium, as it does when it is stopped.
  return await Qmp.connect(socket, { timeout: 60_000 });
}

export class VmSite {
  readonly folder: string;
  readonly repository: Repository;

  private constructor(folder: string, repository: Repository) {
    this.folder = folder;
    this.repository = repository;
  }

  static async make(): Promise<VmSite> {
    const folder = await tempDir();
    const address = { kind: "fs", location: "primary", path: path.join(folder, "repository") } as const;
    await createStorage(address);
    const storage = openStorage(address);
    const { text, secret } = newKeyFile();
    fs.writeFileSync(path.join(folder, "key"), text);
    const key = { type: "key-file", secret } as const;
    return new VmSite(folder, await createRepository({ storage, clock: systemClock, key, label: "test", address }));
  }

  /** For the program: where the repository is, and what opens it. */
  get location(): string[] {
    return ["--repository", path.join(this.folder, "repository"), "--key-file", path.join(this.folder, "key")];
  }

  get spool(): string {
    return path.join(this.folder, "spool");
  }

  source(guest: Pick<Guest, "qmp">, changes: Partial<VmSource> = {}): VmSource {
    // The longest pause is for a busy machine: nothing here waits for it.
    const usual = { memory: true, maxPause: 30_000, disks: "all", scratch: 64 * 1024 * 1024 } as const;
    return { qmp: guest.qmp, spool: this.spool, ...usual, ...changes };
  }

  /** Captures the guest as the source `guest`, with its newest point known. */
  async capture(
    guest: Guest,
    changes: Partial<VmSource> = {},
    options: Partial<CaptureOptions> = {},
  ): Promise<CaptureReport> {
    const source = { name: "guest", kind: "vm", ...this.source(guest, changes) } as const;
    return await captureSource({ ...(await this.#surroundings()), source, ...options });
  }

  /** Captures guests at one instant, as sources of the names given. */
  async captureTogether(guests: Readonly<Record<string, VmSource>>): Promise<CaptureReport[]> {
    const sources = Object.entries(guests).map(([name, source]) => ({ name, kind: "vm" as const, ...source }));
    return await captureGroup({ ...(await this.#surroundings()), sources });
  }

  async points(): Promise<readonly CatalogPoint[]> {
    return (await loadCatalog(this.repository)).points;
  }

  /** Writes an image part to a file, and gives its path. */
  async read({ id, manifest }: RecoveryPoint, name: string): Promise<string> {
    const { reader } = await BlobStore.load(this.repository);
    const part = manifest.parts.find((one) => one.name === name);
    if (part?.kind !== "image") throw new Error(`the point has no image ${name}`);
    const file = path.join(this.folder, `${id}-${name.replaceAll("/", "-")}`);
    const fd = fs.openSync(file, "w");
    fs.ftruncateSync(fd, part.size);
    for await (const leaf of imageLeaves(reader, part)) {
      for (const [number, block] of (await readImageLeaf(reader, part, leaf)).entries()) {
        if (isHole(block)) continue;
        const content = await reader.read(blobKinds.data, block);
        fs.writeSync(fd, content, 0, content.length, (leaf.leaf * imageFanOut + number) * part.block);
      }
    }
    fs.closeSync(fd);
    return file;
  }

  /** Writes the guest's main memory to a file, and gives its path. */
  async readMemory(point: RecoveryPoint): Promise<string> {
    const number = point.manifest.machine?.memory?.blocks.findIndex(({ id }) => id === "pc.ram") ?? -1;
    return await this.read(point, `memory/${String(number)}`);
  }

  async #surroundings() {
    return {
      repository: this.repository,
      store: await BlobStore.load(this.repository),
      executor: inlineExecutor,
      policy: "policy",
      host: "host",
      points: await this.points(),
      grace: 7_200_000,
      version: "0",
    };
  }
}

/** What a point says of a disk. */
export function diskOf({ manifest }: RecoveryPoint, name: string): MachineDisk {
  const disk = manifest.machine?.disks.find((one) => one.name === name);
  if (disk === undefined) throw new Error(`the point doesn't know the disk ${name}`);
  return disk;
}
