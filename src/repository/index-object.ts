/** Index objects: which blobs are in which packs (docs/format.md section 7). */
import { damagedObject, idLength, objectClasses, tableEntryLength } from "./format.ts";
import type { KeyRing } from "./key-ring.ts";
import { sha256 } from "./key-ring.ts";
import type { PackInfo } from "./pack.ts";

const packHeadLength = 32 + 1 + 8 + 4 + 4;

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
