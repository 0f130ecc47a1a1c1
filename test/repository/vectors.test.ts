/** Golden vectors made by an independent writer of docs/format.md (test/vectors/make-vectors.py). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../src/host/clock.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import { type Catalog, loadCatalog } from "../../src/repository/points/catalog.ts";
import {
  type BlobKind,
  blobKinds,
  encodeHeader,
  type ObjectClass,
  type ObjectType,
} from "../../src/repository/format.ts";
import { openIndex } from "../../src/repository/blobs/index-object.ts";
import { parseKeyFile, parseKeyObject, type Secret, unwrapMasterKey } from "../../src/repository/keys/key-objects.ts";
import { parseTable } from "../../src/repository/blobs/pack-table.ts";
import { KeyRing, seal } from "../../src/repository/keys/key-ring.ts";
import { openManifest } from "../../src/repository/points/manifest.ts";
import {
  encodeAssociated,
  encodeTableEntry,
  openBlob,
  openTable,
  sealTable,
  tableLengthOf,
} from "../../src/repository/blobs/pack.ts";
import { openLockRecord, sealLockRecord } from "../../src/repository/locks/lock-record.ts";
import { openRepository, type Repository } from "../../src/repository/repository.ts";
import { readDirectory } from "../../src/repository/tree/directory-tree.ts";
import { imageLeaves, readImageLeaf } from "../../src/repository/tree/image-tree.ts";
import { streamChunks } from "../../src/repository/tree/stream-tree.ts";
import { openStorage } from "../../src/storage/open.ts";
import { collect } from "../helpers/collect.ts";

interface Vectors {
  repository: string;
  master_key: string;
  format: { key_check: string };
  class_keys: Record<string, string>;
  keys: Record<string, { id: string; object: object }>;
  secrets: { passphrase: string; key_file: string; age_identity: string };
  source_tags: { source: string; tag: string }[];
  blob_ids: { kind: BlobKind; content: string; id: string }[];
  packs: {
    about: string;
    class: ObjectClass;
    salt: string;
    header: string;
    object_key: string;
    blobs: { kind: BlobKind; encoding: number; content: string; stored: string; id: string; sealed: string }[];
    table: string;
    id: string;
    pack: string;
  }[];
  index: { object: string; id: string; packs: string[] };
  manifest: { object: string; json: string; signature: string; digest: string; name: string };
  locks: { object: string; json: string; signature: string; name: string };
  small_objects: { type: ObjectType; plaintext: string; object: string }[];
}

const folder = join(import.meta.dirname, "../vectors");
const vectors = JSON.parse(readFileSync(join(folder, "vectors.json"), "utf8")) as Vectors;
const hex = (text: string): Buffer => Buffer.from(text, "hex");
const repositoryId = hex(vectors.repository);
const keys = new KeyRing({ masterKey: hex(vectors.master_key), repositoryId });
const secrets: Record<string, Secret> = {
  passphrase: { type: "passphrase", passphrase: vectors.secrets.passphrase },
  "key-file": { type: "key-file", secret: parseKeyFile(vectors.secrets.key_file, "vector") },
  age: { type: "age", identity: vectors.secrets.age_identity },
};

describe("keys", () => {
  test.each(Object.entries(vectors.class_keys))("the class key %s", (name, key) => {
    expect(keys.classKey(name).toString("hex")).toBe(key);
  });

  test("the key check", () => {
    expect(keys.keyCheck).toBe(vectors.format.key_check);
  });

  test.each(Object.entries(vectors.keys))("a master key wrapped by %s", async (type, { object }) => {
    const key = parseKeyObject(Buffer.from(JSON.stringify(object)), "keys/vector");
    const master = await unwrapMasterKey(key, secrets[type] as Secret, repositoryId);
    expect(master?.toString("hex")).toBe(vectors.master_key);
    for (const other of Object.keys(secrets).filter((one) => one !== type)) {
      expect(await unwrapMasterKey(key, secrets[other] as Secret, repositoryId)).toBeUndefined();
    }
  });

  test("blob ids and source tags", () => {
    for (const { kind, content, id } of vectors.blob_ids)
      expect(keys.blobId(kind, hex(content)).toString("hex")).toBe(id);
    for (const { source, tag } of vectors.source_tags) expect(keys.sourceTag(source)).toBe(tag);
  });
});

describe.each(vectors.packs)("the pack: $about", (vector) => {
  const pack = hex(vector.pack);
  const header = pack.subarray(0, 48);
  const tableLength = tableLengthOf(pack.subarray(-8), "vector", pack.length);
  const { info } = openTable(keys, vector.id, pack.length, header, pack.subarray(pack.length - tableLength - 8));

  test("opens to its table and its blobs", () => {
    expect(info).toMatchObject({ id: vector.id, class: vector.class, size: pack.length });
    expect(info.table.toString("hex")).toBe(vector.table);
    const entries = parseTable(info);
    expect(entries.map((entry) => entry.id.toString("hex"))).toEqual(vector.blobs.map((blob) => blob.id));
    for (const [number, entry] of entries.entries()) {
      const sealed = pack.subarray(entry.offset, entry.offset + entry.sealedLength);
      const content = openBlob(keys, keys.objectKey(header), entry, sealed, vector.id);
      expect(content.toString("hex")).toBe(vector.blobs[number]?.content);
    }
  });

  test("is sealed again to the same bytes", () => {
    const again = encodeHeader("pack", vector.class, hex(vector.salt));
    const objectKey = keys.objectKey(again);
    expect(objectKey.toString("hex")).toBe(vector.object_key);
    const sealed = vector.blobs.map((blob, number) => {
      const associated = encodeAssociated(hex(blob.id), blob.kind, blob.encoding, blob.content.length / 2);
      const bytes = seal(objectKey, number, associated, hex(blob.stored));
      expect(bytes.toString("hex")).toBe(blob.sealed);
      return { bytes, entry: encodeTableEntry(associated, bytes.length) };
    });
    const table = Buffer.concat(sealed.map(({ entry }) => entry));
    const { end, id } = sealTable(objectKey, again, table);
    expect(id).toBe(vector.id);
    expect(Buffer.concat([again, ...sealed.map(({ bytes }) => bytes), end])).toEqual(pack);
  });
});

test("an index object", () => {
  const packs = openIndex(keys, `index/${vectors.index.id}`, hex(vectors.index.object));
  expect(packs.map((pack) => pack.id)).toEqual(vectors.index.packs);
  expect(packs.map((pack) => pack.table.toString("hex"))).toEqual(
    vectors.packs.slice(0, packs.length).map((pack) => pack.table),
  );
});

test("a manifest", () => {
  const { name, object, json, digest, signature } = vectors.manifest;
  const point = openManifest(keys, name, hex(object));
  expect(point.manifest).toEqual(JSON.parse(json));
  expect(point.digest).toBe(digest);
  expect(keys.openObject("manifest", keys.sealSigned("manifest", Buffer.from(json)), name).toString("hex")).toBe(
    signature + Buffer.from(json).toString("hex"),
  );
});

test("a record of locks", () => {
  const { name, object, json, signature } = vectors.locks;
  const { points, objects } = JSON.parse(json) as { points: string[]; objects: Record<string, string> };
  const record = openLockRecord(keys, name, hex(object));
  expect(record).toMatchObject({
    name,
    until: Date.UTC(2026, 11, 26),
    points,
    objects: new Map(Object.entries(objects)),
  });
  const again = sealLockRecord(keys, { ...record, time: Date.UTC(2026, 10, 22, 12) });
  expect(keys.openObject("locks", again.data, again.name).toString("hex")).toBe(
    signature + Buffer.from(json).toString("hex"),
  );
});

test.each(vectors.small_objects)("a small object: $type", ({ type, object, plaintext }) => {
  expect(keys.openObject(type, hex(object), "vector").toString("hex")).toBe(plaintext);
});

describe("the golden repository", () => {
  let repository: Repository;
  let store: BlobStore;
  let catalog: Catalog;
  const storage = openStorage({ kind: "fs", location: "golden", path: join(folder, "repository-v1") });

  beforeAll(async () => {
    repository = await openRepository({ storage, clock: systemClock, secret: secrets["key-file"] as Secret });
    store = await BlobStore.load(repository);
    catalog = await loadCatalog(repository);
  });

  test.each(Object.keys(secrets))("opens with its %s", async (type) => {
    const opened = await openRepository({ storage, clock: systemClock, secret: secrets[type] as Secret });
    expect(opened.keys.repositoryId).toBe(vectors.repository);
  });

  test("lists the points that were written, with tags, holds and proofs", () => {
    const { points } = JSON.parse(readFileSync(join(folder, "expected.json"), "utf8")) as {
      points: { id: string; source: string; tags: string[]; held: boolean; verified: string | null }[];
    };
    const seen = catalog.points.map((point) => ({
      id: point.id,
      source: point.manifest.source,
      tags: point.tags,
      held: point.hold !== undefined,
    }));
    const expected = points.map(({ id, source, tags, held }) => ({ id, source, tags, held }));
    expect(seen.toSorted((a, b) => a.id.localeCompare(b.id))).toEqual(
      expected.toSorted((a, b) => a.id.localeCompare(b.id)),
    );
    expect(catalog.damaged).toEqual([]);
  });

  test("has every blob of every tree, each what its id says", async () => {
    let blobs = 0;
    const readData = async (ids: readonly Buffer[]): Promise<void> => {
      await store.reader.readMany(
        blobKinds.data,
        ids.filter((id) => id.some((byte) => byte !== 0)),
        (_, content) => {
          if (content instanceof Error) throw content;
          blobs += 1;
        },
      );
    };
    const readFolder = async (tree: string): Promise<void> => {
      for (const entry of await readDirectory(store.reader, hex(tree))) {
        if (entry.tree !== undefined) await readFolder(entry.tree);
        if (entry.type !== "file") continue;
        const stream = { size: entry.size ?? 0, depth: entry.depth ?? 0, root: entry.root ?? "" };
        await readData((await collect(streamChunks(store.reader, stream))).map(({ id }) => id));
      }
    };
    for (const part of catalog.points.flatMap((point) => point.manifest.parts)) {
      if (part.kind === "directory") await readFolder(part.entry.tree);
      else if (part.kind === "stream")
        await readData((await collect(streamChunks(store.reader, part))).map(({ id }) => id));
      else
        for await (const leaf of imageLeaves(store.reader, part))
          await readData(await readImageLeaf(store.reader, part, leaf));
    }
    expect(blobs).toBeGreaterThan(50);
  });
});
