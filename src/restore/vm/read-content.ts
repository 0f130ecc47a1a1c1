/** The content of a part in order, with zeros for what can't be read. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { BlobReader } from "../../repository/blobs/blob-reader.ts";
import { blobKinds } from "../../repository/format.ts";
import type { ImagePart, StreamPart } from "../../repository/points/manifest.ts";
import { isHole } from "../../repository/tree/image-tree.ts";
import { damageOf, type DamagedRange, piecesOf } from "../pieces.ts";

const zeros = Buffer.alloc(1024 * 1024);

/** Throws `cancelled`, or an error of the storage that says nothing about the data. */
export async function* readContent(
  reader: BlobReader,
  part: ImagePart | StreamPart,
  damaged: (range: DamagedRange) => void,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  for await (const piece of piecesOf(reader, part, { signal })) {
    throwIfCancelled(signal);
    const length = "id" in piece ? piece.size : piece.length;
    if (!("id" in piece)) damaged(piece);
    const content =
      "id" in piece && !isHole(piece.id)
        ? await reader.read(blobKinds.data, piece.id, { signal }).catch(damageOf)
        : undefined;
    if (content instanceof Buffer && content.length === length) {
      yield content;
      continue;
    }
    if (content !== undefined) {
      const reason = typeof content === "string" ? content : `a blob has ${content.length} bytes instead of ${length}`;
      damaged({ offset: piece.offset, length, reason });
    }
    for (let at = 0; at < length; at += zeros.length) yield zeros.subarray(0, Math.min(zeros.length, length - at));
  }
}
