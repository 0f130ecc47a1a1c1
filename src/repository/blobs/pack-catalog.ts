/** The packs of a repository by number: 41 bytes each in one buffer, since a large repository has a hundred thousand. */
import { idLength } from "../format.ts";
import type { PackInfo } from "./pack.ts";

const recordLength = 41;

export type CatalogPack = Omit<PackInfo, "table">;

export class PackCatalog {
  #records: Buffer;
  #count: number;

  constructor(records: Uint8Array = Buffer.alloc(0)) {
    this.#records = Buffer.from(records.buffer, records.byteOffset, records.byteLength);
    this.#count = records.length / recordLength;
  }

  get count(): number {
    return this.#count;
  }

  /** A copy for another thread. */
  get records(): Uint8Array {
    return Uint8Array.from(this.#records.subarray(0, this.#count * recordLength));
  }

  /** Returns the pack's number: 1 for the first. */
  add(pack: CatalogPack): number {
    const at = this.#count * recordLength;
    if (at + recordLength > this.#records.length) {
      const grown = Buffer.alloc(Math.max(64 * recordLength, this.#records.length * 2));
      this.#records.copy(grown);
      this.#records = grown;
    }
    this.#records.write(pack.id, at, "hex");
    this.#records[at + idLength] = pack.class === "data" ? 2 : 1;
    this.#records.writeUInt32BE(pack.size, at + 33);
    this.#records.writeUInt32BE(pack.tableLength, at + 37);
    this.#count += 1;
    return this.#count;
  }

  get(number: number): CatalogPack {
    const at = (number - 1) * recordLength;
    if (number < 1 || number > this.#count) throw new RangeError(`pack number ${String(number)}`);
    return {
      id: this.#records.toString("hex", at, at + idLength),
      class: this.#records[at + idLength] === 2 ? "data" : "metadata",
      size: this.#records.readUInt32BE(at + 33),
      tableLength: this.#records.readUInt32BE(at + 37),
    };
  }

  *all(): Generator<readonly [number: number, pack: CatalogPack]> {
    for (let number = 1; number <= this.#count; number++) yield [number, this.get(number)];
  }
}
