/** The images of a recovery point, opened for reading at random. */
import { StillpointError } from "../../errors.ts";
import { BlobStore } from "../../repository/blobs/blob-store.ts";
import type { ImagePart, RecoveryPoint } from "../../repository/points/manifest.ts";
import type { Repository } from "../../repository/repository.ts";
import { isFar } from "../../storage/is-far.ts";
import { BlobCache } from "./blob-cache.ts";
import { farAround, ImageSource, nearAround, type ReadAround } from "./image-source.ts";

/** Contents of blobs kept in memory, in bytes, for all images of a point together. */
const defaultCache = 256 * 1024 * 1024;

/** What disks of virtual machines are called in a manifest: this, and their names. */
const diskPrefix = "disk/";

export interface PointImagesOptions {
  readonly repository: Repository;
  /** What the repository holds, loaded; it is loaded again when something can't be found. */
  readonly store: Pick<BlobStore, "reader">;
  readonly point: RecoveryPoint;
  /** In bytes. By default 256 MiB. */
  readonly cache?: number | undefined;
}

export class PointImages {
  readonly #point: RecoveryPoint;
  readonly #cache: BlobCache;
  readonly #around: ReadAround;

  constructor({ repository, store, point, cache = defaultCache }: PointImagesOptions) {
    this.#point = point;
    this.#around = isFar(repository.address) ? farAround : nearAround;
    this.#cache = new BlobCache({
      reader: store.reader,
      renew: async () => (await BlobStore.load(repository, { onDamage: () => undefined })).reader,
      limit: cache,
    });
  }

  /** Names of the disks: of a virtual machine its own; an image that was captured by itself has its part's name. */
  get disks(): readonly string[] {
    return disksOf(this.#point).map(({ name }) => name);
  }

  /** Throws `not_found`. */
  disk(name: string): ImageSource {
    const part = disksOf(this.#point).find((one) => one.name === name)?.part;
    return this.#open(part, `disk ${JSON.stringify(name)}`);
  }

  /** Any image, by the name of its part. Throws `not_found`. */
  part(name: string): ImageSource {
    const part = this.#point.manifest.parts.find((one) => one.kind === "image" && one.name === name);
    return this.#open(part?.kind === "image" ? part : undefined, `image ${JSON.stringify(name)}`);
  }

  #open(part: ImagePart | undefined, what: string): ImageSource {
    if (part !== undefined) return new ImageSource(part, this.#cache, this.#around);
    const there = this.disks.map((name) => JSON.stringify(name)).join(", ");
    throw new StillpointError("not_found", {
      what: `The recovery point ${this.#point.id} has no ${what}`,
      next: there === "" ? "It has no disks at all: `stillpoint restore` brings back what it has." : `It has ${there}.`,
    });
  }
}

function disksOf({ manifest }: RecoveryPoint): { readonly name: string; readonly part: ImagePart }[] {
  const images = manifest.parts.filter((part) => part.kind === "image");
  if (manifest.kind !== "vm") return images.map((part) => ({ name: part.name, part }));
  return images
    .filter(({ name }) => name.startsWith(diskPrefix))
    .map((part) => ({ name: part.name.slice(diskPrefix.length), part }));
}
