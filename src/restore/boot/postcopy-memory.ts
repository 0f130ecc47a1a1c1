/** Memory of a machine that is to stay: it runs at once, and ends up with all of its memory in its own process. */
import { PostcopySource } from "../../qemu/postcopy/postcopy-source.ts";
import { describeProcess } from "../../qemu/qmp-peer.ts";
import type { Qmp } from "../../qemu/qmp.ts";
import { mayWriteProtect } from "../../qemu/write-protect-rights.ts";
import type { BlobReader } from "../../repository/blobs/blob-reader.ts";
import type { RecoveryPoint } from "../../repository/points/manifest.ts";
import type { PointImages } from "../serve/point-images.ts";
import type { BootPaths } from "./boot-folder.ts";
import { blockPart, stateParts } from "./saved-state.ts";

export interface PostcopyMemoryOptions {
  readonly qmp: Qmp;
  readonly paths: BootPaths;
  readonly reader: BlobReader;
  readonly point: RecoveryPoint;
  readonly images: PointImages;
  readonly onFailure: (message: string) => void;
  /** Called whenever QEMU has taken or said something. */
  readonly moved: () => void;
  readonly signal?: AbortSignal | undefined;
}

/** Of QEMU versions before 8, which ask for the most. */
const strictest = { major: 7 };

/** Whether a QEMU that this process starts may wait for its guest's pages (userfaultfd): the rights are this process's. */
export async function mayPostcopy(): Promise<boolean> {
  const own = await describeProcess(process.pid);
  return own !== undefined && (await mayWriteProtect(own, strictest)) === undefined;
}

/**
 * Begins, on a QEMU that was started with `-incoming defer`. Throws `boot_failed`, `damaged`, `stream_invalid`, a QmpError, a
 * storage error, or `cancelled`.
 */
export async function beginPostcopy(options: PostcopyMemoryOptions): Promise<PostcopySource> {
  const { qmp, paths, reader, point, images, onFailure, moved, signal } = options;
  const { head, tail } = await stateParts(reader, point, { signal });
  await setPostcopy(qmp, true, signal);
  await qmp.execute("migrate-incoming", { uri: `unix:${paths.postcopy}` }, { signal });
  return await PostcopySource.begin({
    socket: paths.postcopy,
    head,
    tail,
    content: (block, number) => {
      const source = images.part(blockPart(point, block, number));
      return async (offset, length) => await source.read(offset, length, signal);
    },
    onFailure,
    moved,
    signal,
  });
}

/** Sets the capability; with it, a machine can't be captured. */
export async function setPostcopy(qmp: Qmp, state: boolean, signal?: AbortSignal): Promise<void> {
  const capabilities = [{ capability: "postcopy-ram", state }];
  await qmp.execute("migrate-set-capabilities", { capabilities }, { signal });
}
