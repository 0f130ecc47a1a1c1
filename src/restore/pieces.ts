/** The pieces that an image or a stream consists of, in order, with what can't be read of its nodes in their place. */
import { describeError, isStillpointError } from "../errors.ts";
import type { BlobReader } from "../repository/blobs/blob-reader.ts";
import { blobKinds, damagedObject, idLength, imageFanOut } from "../repository/format.ts";
import { hole, type ImageTree, isHole, readImageNode } from "../repository/tree/image-tree.ts";
import { parseStreamNode, type StreamTree } from "../repository/tree/stream-tree.ts";
import type { CallOptions } from "../storage/storage.ts";

/** A blob's place in a file, in bytes. A hole may be of any length. */
export interface Piece {
  readonly id: Buffer;
  readonly offset: number;
  readonly size: number;
}

/** A range, in bytes, that can't be had, and why. */
export interface DamagedRange {
  readonly offset: number;
  readonly length: number;
  readonly reason: string;
}

export type Content = ({ readonly kind: "image" } & ImageTree) | ({ readonly kind: "stream" } & StreamTree);

export function piecesOf(
  reader: BlobReader,
  content: Content,
  options?: CallOptions,
): AsyncGenerator<Piece | DamagedRange> {
  return content.kind === "image" ? imagePieces(reader, content, options) : streamPieces(reader, content, options);
}

async function* imagePieces(
  reader: BlobReader,
  image: ImageTree,
  options?: CallOptions,
): AsyncGenerator<Piece | DamagedRange> {
  if (image.size > 0) yield* below(image.depth, 0, Buffer.from(image.root, "hex"));

  async function* below(depth: number, offset: number, id: Buffer): AsyncGenerator<Piece | DamagedRange> {
    const size = Math.min(image.size - offset, image.block * imageFanOut ** depth);
    if (depth === 0 || isHole(id)) {
      yield { id, offset, size };
      return;
    }
    const span = image.block * imageFanOut ** (depth - 1);
    const children = await orDamaged(async () => {
      const ids = await readImageNode(reader, id, options);
      if (ids.length === Math.ceil(size / span)) return ids;
      throw damagedObject(
        `of the image node ${id.toString("hex")}`,
        "it has another number of children than its size asks for",
      );
    });
    if (typeof children === "string") yield { offset, length: size, reason: children };
    else for (const [position, child] of children.entries()) yield* below(depth - 1, offset + position * span, child);
  }
}

export async function* streamPieces(
  reader: BlobReader,
  stream: StreamTree,
  options?: CallOptions,
): AsyncGenerator<Piece | DamagedRange> {
  const { size: length, depth: top } = stream;
  const root = Buffer.from(stream.root, "hex");
  if (root.length !== idLength) yield { offset: 0, length, reason: "its entry doesn't say what it holds" };
  else if (length > 0) yield* below(top, { id: root, offset: 0, size: length });

  async function* below(depth: number, piece: Piece): AsyncGenerator<Piece | DamagedRange> {
    if (depth === 0 || isHole(piece.id)) {
      yield piece;
      return;
    }
    const { id, offset, size } = piece;
    const children = await orDamaged(async () =>
      parseStreamNode(await reader.read(blobKinds.streamNode, id, options), id, size),
    );
    if (typeof children === "string") {
      yield { offset, length: size, reason: children };
      return;
    }
    let at = offset;
    for (const child of children) {
      yield* below(depth - 1, { ...child, offset: at });
      at += child.size;
    }
  }
}

/** The result, or why it can't be had. */
export async function orDamaged<T>(read: () => Promise<T>): Promise<T | string> {
  try {
    return await read();
  } catch (error) {
    return damageOf(error);
  }
}

/** The reason of a damage. An error that says nothing about the data, such as a storage that doesn't answer, is thrown on. */
export function damageOf(error: unknown): string {
  const aboutData = ["damaged", "object_missing", "storage_failed"] as const;
  if (!aboutData.some((code) => isStillpointError(error, code))) throw error;
  return isStillpointError(error) ? error.parts.what : describeError(error);
}

const recordLength = idLength + 16;

/** Pieces as one run of bytes, to be sent to a thread. */
export function joinPieces(pieces: readonly Piece[]): Uint8Array {
  const bytes = Buffer.alloc(pieces.length * recordLength);
  for (const [position, { id, offset, size }] of pieces.entries()) {
    const at = position * recordLength;
    id.copy(bytes, at);
    bytes.writeBigUInt64LE(BigInt(offset), at + idLength);
    bytes.writeBigUInt64LE(BigInt(size), at + idLength + 8);
  }
  return bytes;
}

/** What `joinPieces` joined. */
export function splitPieces(joined: Uint8Array): Piece[] {
  const bytes = Buffer.from(joined.buffer, joined.byteOffset, joined.byteLength);
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.length; at += recordLength) {
    const id = bytes.subarray(at, at + idLength);
    pieces.push({
      id: isHole(id) ? hole : id,
      offset: Number(bytes.readBigUInt64LE(at + idLength)),
      size: Number(bytes.readBigUInt64LE(at + idLength + 8)),
    });
  }
  return pieces;
}
