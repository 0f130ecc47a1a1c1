/** Where a repair gets what this repository has lost: its replicas, and what is still whole here. */
import { throwIfCancelled } from "../../host/cancel.ts";
import type { CallOptions } from "../../storage/storage.ts";
import { BlobStore } from "../blobs/blob-store.ts";
import type { BlobReader, StoredBlob } from "../blobs/blob-reader.ts";
import type { BlobKind } from "../format.ts";
import { decodeStored } from "../blobs/pack.ts";
import { isDamage } from "../mark/mark.ts";
import type { Repository } from "../repository.ts";

/** A replica that was opened with the same keys. */
export interface Replica {
  readonly location: string;
  readonly repository: Repository;
  readonly reader: BlobReader;
}

/** Throws a storage error; a replica with a damaged index is used as far as it goes. */
export async function openReplicas(repositories: readonly Repository[], options: CallOptions): Promise<Replica[]> {
  const replicas: Replica[] = [];
  for (const repository of repositories) {
    const { reader } = await BlobStore.load(repository, { ...options, onDamage: () => undefined });
    replicas.push({ location: repository.storage.location, repository, reader });
  }
  return replicas;
}

/** The blob in its stored form, verified in full, from the first replica that has it whole. */
export async function fetchBlob(
  replicas: readonly Replica[],
  kind: BlobKind,
  id: Buffer,
  options: CallOptions,
): Promise<StoredBlob | undefined> {
  for (const { reader, repository } of replicas) {
    throwIfCancelled(options.signal);
    const found: StoredBlob[] = [];
    await reader.readManyStored(kind, [id], (_, blob) => void (blob instanceof Error || found.push(blob)), options);
    for (const blob of found) {
      try {
        if (repository.keys.blobId(kind, decodeStored(blob.encoding, blob.rawLength, blob.stored)).equals(id))
          return blob;
      } catch {
        // Sealed by the right key, and yet not what it says: the next replica may have it.
      }
    }
  }
  return undefined;
}

/** An object's bytes, from the first replica where `open` accepts them. */
export async function fetchObject(
  replicas: readonly Replica[],
  name: string,
  open: (data: Buffer) => Promise<void>,
  options: CallOptions,
): Promise<Buffer | undefined> {
  for (const { repository } of replicas) {
    throwIfCancelled(options.signal);
    try {
      const data = await repository.storage.get(name, undefined, options);
      await open(data);
      return data;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  return undefined;
}
