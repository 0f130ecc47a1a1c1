/** Of several copies of a blob one counts, decided unread: it is read before the others go. */
import type { CallOptions } from "../../storage/storage.ts";
import type { BlobReader } from "../blobs/blob-reader.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import type { BlobKind } from "../format.ts";
import { isDamage } from "../mark/mark.ts";
import type { PackUse, Usage } from "./usage.ts";

export interface OnlyCopiesOptions extends CallOptions {
  readonly store: BlobStore;
  readonly usage: Usage;
  /** Packs that go unless they are needed. */
  readonly remove: readonly PackUse[];
  /** Ids of the packs named by any sweep record. */
  readonly named: ReadonlySet<string>;
  /** Called between reads, and awaited. */
  readonly onProgress: (() => Promise<void>) | undefined;
}

/**
 * Notes as needed each pack with a blob in use that can't be read from any indexed pack that stays. That reads once more
 * what was rewritten, and nothing for packs without a blob in use. Throws a storage error, or `cancelled`.
 */
export async function keepOnlyCopies(options: OnlyCopiesOptions): Promise<void> {
  const { store, usage, remove, named } = options;
  const stays = (number: number): boolean => {
    const pack = usage.packs.get(store.packs.get(number).id);
    return pack?.indexed === true && (pack.needed || !named.has(pack.id));
  };
  const reader = store.readerBy({ packsOf: (id) => store.index.packsOf(id).filter(stays) });
  for (const pack of remove) {
    for (const [kind, blobs] of Map.groupBy(usage.covered.get(pack.id) ?? [], (blob) => blob.kind)) {
      const ids = blobs.map(({ id }) => id);
      pack.needed ||= !(await canReadAll(reader, kind, ids, options));
    }
  }
}

async function canReadAll(
  reader: BlobReader,
  kind: BlobKind,
  ids: readonly Buffer[],
  { onProgress, signal }: OnlyCopiesOptions,
): Promise<boolean> {
  let all = true;
  const use = async (_position: number, content: Buffer | Error): Promise<void> => {
    await onProgress?.();
    if (!(content instanceof Error)) return;
    if (!isDamage(content)) throw content;
    all = false;
  };
  await reader.readMany(kind, ids, use, { signal });
  return all;
}
