/** A terminal's whole screen, redrawn in place (ECMA-48 and xterm's control sequences), and given back as it was. */
import { stripVTControlCharacters } from "node:util";
import { knownSize, type OutputStream } from "./output.ts";

const alternate = { on: "\u001B[?1049h", off: "\u001B[?1049l" };
const cursor = { on: "\u001B[?25h", off: "\u001B[?25l" };
/** Terminals that know it show all of a frame at once; the others ignore it. */
const together = { on: "\u001B[?2026h", off: "\u001B[?2026l" };
const home = "\u001B[H";
const clearLine = "\u001B[K";
const clearBelow = "\u001B[J";

export class LiveScreen {
  readonly #stream: OutputStream;

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  open(): void {
    this.#stream.write(alternate.on + cursor.off);
  }

  close(): void {
    this.#stream.write(cursor.on + alternate.off);
  }

  /** Written over what was there, never cleared first: nothing flickers. What doesn't fit is cut, and `more` says so. */
  draw(lines: readonly string[], more: string): void {
    const columns = knownSize(this.#stream.columns) ?? 80;
    const rows = knownSize(this.#stream.rows) ?? 24;
    const shown = lines.length <= rows ? lines : [...lines.slice(0, rows - 1), more];
    const frame = shown.map((line) => clip(line, columns) + clearLine).join("\r\n");
    this.#stream.write(together.on + home + frame + clearBelow + together.off);
  }
}

/** A line that is too long loses its colours with its end. */
function clip(line: string, columns: number): string {
  const plain = stripVTControlCharacters(line);
  return plain.length <= columns ? line : `${plain.slice(0, columns - 1)}…`;
}
