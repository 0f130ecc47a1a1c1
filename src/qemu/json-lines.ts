/** Messages of a stream that carries one JSON object per line, as QMP does (docs/interop/qmp-spec.txt of QEMU's source). */

export type JsonObject = Readonly<Record<string, unknown>>;

/** The longest line that is taken. What QEMU says of a thousand disks is a few MiB. */
const longestLine = 16 * 1024 * 1024;

const newline = 0x0a;

/** Cuts a stream into lines, wherever its chunks end, and parses each. Nothing that comes makes it keep more than one line. */
export class JsonLines {
  readonly #longest: number;
  #begun: Buffer[] = [];
  #length = 0;

  /** @param longest in bytes */
  constructor(longest = longestLine) {
    this.#longest = longest;
  }

  /**
   * The objects of the lines that `chunk` ends. Empty lines are skipped.
   *
   * @throws Error when a line is too long or isn't a JSON object; the stream is of no use from there on
   */
  *take(chunk: Buffer): Generator<JsonObject> {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      this.#keep(chunk.subarray(start, end));
      start = end + 1;
      const text = Buffer.concat(this.#begun).toString("utf8").trim();
      this.#begun = [];
      this.#length = 0;
      if (text !== "") yield parseObject(text);
    }
    // A copy: the chunk may be a view of a buffer that is about to be filled again.
    if (start < chunk.length) this.#keep(Buffer.from(chunk.subarray(start)));
  }

  #keep(piece: Buffer): void {
    this.#length += piece.length;
    if (this.#length > this.#longest) throw new Error(`a line is longer than ${String(this.#longest)} bytes`);
    this.#begun.push(piece);
  }
}

function parseObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("a line isn't JSON");
  }
  if (!isObject(value)) throw new Error("a line isn't a JSON object");
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
