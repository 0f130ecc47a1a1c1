/** One disk of a guest, read at its point. */
import { throwIfCancelled } from "../../host/cancel.ts";
import { systemRandom } from "../../host/random.ts";
import { NbdClient } from "../../nbd/client.ts";
import { imageBlock, imageFanOut } from "../../repository/format.ts";
import { isDamage } from "../../repository/mark/mark.ts";
import type { ImagePart } from "../../repository/points/manifest.ts";
import { hole, imageLeaves, writeImageTree } from "../../repository/tree/image-tree.ts";
import { StillpointError } from "../../errors.ts";
import type { CaptureContext } from "../capture.ts";
import { inOrder, leafLength, leafOf } from "../image/leaves.ts";
import { captureDiskRegion } from "./capture-disk-region-task.ts";
import { addSamples, disposition, planChanges, planFull } from "./disk-plan.ts";
import type { ExposedDisk } from "./points.ts";
import { failed } from "./trouble.ts";

export interface CapturedDisk {
  readonly part: ImagePart;
  /** Bytes that were read. */
  readonly read: number;
  /** Why all of it was read; undefined when only what changed was. */
  readonly reason: string | undefined;
  /** The bitmap was wrong, or the earlier point is damaged. */
  readonly problem?: StillpointError;
}

/** What an earlier point has of the disk, or why it can't be used. */
export type Earlier = ImagePart | string;

/**
 * Captures the disk as the part `disk/NAME`: what changed since the earlier point, and a sample of what didn't; all of it when
 * the sample shows a difference, or there is nothing to rely on, or it can't be read.
 *
 * @param advance hears of bytes done, the disk's size in all (more when it had to begin anew)
 */
export async function captureDisk(
  context: CaptureContext,
  exposed: ExposedDisk,
  earlier: Earlier,
  advance: (bytes: number) => void,
): Promise<CapturedDisk> {
  const { disk, changes } = exposed;
  await using connection = await connect(exposed, context.signal);
  const { client } = connection;
  const plan = { size: client.size, exposed, advance };
  const allocation = await client.blockStatus("base:allocation", 0, client.size);
  const whole = async (reason: string): Promise<CapturedDisk> => {
    const blocks = planFull(client.size, imageBlock, allocation);
    const { part, read } = await readPlanned(context, { ...plan, blocks, earlier: undefined });
    return { part, read, reason };
  };
  if (typeof earlier === "string") return await whole(earlier);
  if (changes === undefined) return await whole("its bitmap can't be read");
  const changed = await client.blockStatus(changes, 0, client.size);
  const blocks = planChanges(client.size, imageBlock, { changes: changed, allocation });
  addSamples(blocks, () => systemRandom.fraction());
  let pass: Pass;
  try {
    pass = await readPlanned(context, { ...plan, blocks, earlier });
  } catch (error) {
    if (!isDamage(error)) throw error;
    return { ...(await whole("the earlier point has damage")), problem: earlierDamaged(disk.name, error) };
  }
  if (pass.differing === 0) return { part: pass.part, read: pass.read, reason: undefined };
  const captured = await whole("its bitmap was wrong: blocks that it has as unchanged differ from the earlier point");
  return { ...captured, read: captured.read + pass.read, problem: wrongBitmap(disk.name, pass.differing) };
}

interface Pass {
  readonly part: ImagePart;
  readonly read: number;
  readonly differing: number;
}

interface PassOptions {
  readonly exposed: ExposedDisk;
  /** In bytes. */
  readonly size: number;
  /** A disposition for each block. */
  readonly blocks: Uint8Array;
  readonly earlier: ImagePart | undefined;
  readonly advance: (bytes: number) => void;
}

/** Throws what `isDamage` when the earlier point can't be read; then nothing is under way any more, and all may be read anew. */
async function readPlanned(context: CaptureContext, options: PassOptions): Promise<Pass> {
  const { session, signal } = context;
  const { exposed, size, blocks, earlier, advance } = options;
  const before = await earlierLeaves(context, earlier);
  const leaves = Array.from({ length: Math.ceil(size / leafLength) }, () => hole);
  let read = 0;
  let differing = 0;
  const capture = async (region: number): Promise<void> => {
    const plan = blocks.subarray(region * imageFanOut, (region + 1) * imageFanOut);
    const offset = region * leafLength;
    const length = Math.min(leafLength, size - offset);
    const kept = before.get(region) ?? hole;
    if (plan.every((what) => what === disposition.keep)) leaves[region] = kept;
    else if (!plan.every((what) => what === disposition.hole)) {
      const output = await session.run(captureDiskRegion, {
        socket: exposed.socket,
        export: exposed.export,
        offset,
        length,
        block: imageBlock,
        plan: plan.slice(),
        earlier: earlier === undefined ? undefined : { id: kept, isBlock: earlier.depth === 0 },
      });
      leaves[region] = await leafOf(session.writer, size, output.ids);
      read += output.read;
      differing += output.differing;
    }
    advance(length);
  };
  const damage: StillpointError[] = [];
  await inOrder(leaves.length, session.executor.parallel, async (region) => {
    throwIfCancelled(signal);
    if (damage.length > 0) return;
    await capture(region).catch((error: unknown) => {
      if (earlier === undefined || !isDamage(error)) throw error;
      damage.push(error);
    });
  });
  if (damage[0] !== undefined) throw damage[0];
  const tree = await writeImageTree(session.writer, size, imageBlock, leaves);
  return { part: { name: `disk/${exposed.disk.name}`, kind: "image", ...tree }, read, differing };
}

/** The ids of the earlier point's leaves, those that are holes left out. */
async function earlierLeaves(
  { reader, signal }: CaptureContext,
  image: ImagePart | undefined,
): Promise<Map<number, Buffer>> {
  const leaves = new Map<number, Buffer>();
  if (image === undefined) return leaves;
  for await (const { leaf, id } of imageLeaves(reader, image, undefined, { signal })) leaves.set(leaf, id);
  return leaves;
}

async function connect(
  { socket, export: name, changes }: ExposedDisk,
  signal: AbortSignal | undefined,
): Promise<AsyncDisposable & { readonly client: NbdClient }> {
  const contexts = ["base:allocation", ...(changes === undefined ? [] : [changes])];
  const client = await NbdClient.connect({ socket, export: name, contexts, ...(signal && { signal }) });
  return { client, [Symbol.asyncDispose]: async () => await client.close() };
}

function wrongBitmap(name: string, differing: number): StillpointError {
  return failed(
    `The dirty bitmap of the disk ${name} is wrong: of a sample of blocks that it has as unchanged, ${differing} differ from the earlier point. The whole disk was read, so this point is right`,
    "Don't trust the earlier points of this disk before `stillpoint restore` and a check inside have shown them to be right, and report this.",
  );
}

function earlierDamaged(name: string, error: StillpointError): StillpointError {
  return new StillpointError("damaged", {
    what: `Cannot read what the earlier recovery point has of the disk ${name}, so all of it was read anew: ${error.parts.what}`,
    safe: "The new recovery point was made, whole but for what is damaged.",
    next: "Run `stillpoint check --read-data`, then `stillpoint repair`: the capture after that stores again what is lost.",
    cause: error,
  });
}
