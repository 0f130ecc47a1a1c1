/** Index objects: which blobs are in which packs (docs/format.md section 7). */
import { damagedObject, idLength, objectClasses, tableEntryLength } from "../format.ts";
import type { KeyRing } from "../keys/key-ring.ts";
import { sha256 } from "../keys/key-ring.ts";
import type { PackInfo } from "./pack.ts";

const packHeadLength = 32 + 1 + 8 + 4 + 4;
/**
 * When an index object's tables have this many bytes, the next pack goes to another one: far below the longest body that is
 * opened again, though a single pack of tiny blobs may bring 20 MiB. It also bounds the memory that writing and reading one takes.
 */
const enoughTables = 8 * 1024 * 1024;

/** One index object or several: all packs of a large repository at once would make one too long to be opened. */
export function* sealIndexes(
  keys: KeyRing,
  packs: readonly PackInfo[],
): Generator<{ readonly name: string; readonly data: Buffer }> {
  let group: PackInfo[] = [];
  let length = 0;
  for (const pack of packs) {
    group.push(pack);
    length += pack.table.length;
    if (length < enoughTables) continue;
    yield sealIndex(keys, group);
    group = [];
    length = 0;
  }
  if (group.length > 0) yield sealIndex(keys, group);
}

/** The object and its name. */
export function sealIndex(keys: KeyRing, packs: readonly PackInfo[]): { readonly name: string; readonly data: Buffer } {
  const count = Buffer.alloc(4);
  count.writeUInt32BE(packs.length);
  const pieces = packs.flatMap((pack) => {
    const head = Buffer.alloc(packHeadLength);
    head.write(pack.id, "hex");
    head[32] = objectClasses[pack.class];
    head.writeBigUInt64BE(BigInt(pack.size), 33);
    head.writeUInt32BE(pack.tableLength, 41);
    head.writeUInt32BE(pack.table.length / tableEntryLength, 45);
    return [head, pack.table];
  });
  const data = keys.sealObject("index", Buffer.concat([count, ...pieces]));
  return { name: `index/${sha256(data).toString("hex")}`, data };
}

/** The packs of an index object. Throws `damaged`. */
export function openIndex(keys: KeyRing, name: string, data: Buffer): PackInfo[] {
  if (`index/${sha256(data).toString("hex")}` !== name)
    throw damagedObject(name, "its content isn't what its name says");
  const plain = keys.openObject("index", data, name);
  const packs: PackInfo[] = [];
  let at = 4;
  for (let left = plain.length < 4 ? 0 : plain.readUInt32BE(0); left > 0; left--) {
    if (at + packHeadLength > plain.length) throw damagedObject(name, "it is shorter than it says");
    const tableEnd = at + packHeadLength + plain.readUInt32BE(at + 45) * tableEntryLength;
    if (tableEnd > plain.length) throw damagedObject(name, "it is shorter than it says");
    packs.push({
      id: plain.toString("hex", at, at + idLength),
      class: plain[at + 32] === objectClasses.data ? "data" : "metadata",
      size: Number(plain.readBigUInt64BE(at + 33)),
      tableLength: plain.readUInt32BE(at + 41),
      table: plain.subarray(at + packHeadLength, tableEnd),
    });
    at = tableEnd;
  }
  if (at !== plain.length) throw damagedObject(name, "it is longer than it says");
  return packs;
}
