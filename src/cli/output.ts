/** Where the command line prints: results to standard output, everything else to standard error. */
import { styleText } from "node:util";

/** What `Output` needs of a stream; process.stdout and process.stderr have it. */
export interface OutputStream {
  write(data: string | Uint8Array, done?: (error?: Error | null) => void): boolean;
  on(event: "error" | "resize", listener: (error: Error) => void): unknown;
  off(event: "resize", listener: () => void): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** A terminal's columns or rows; undefined where it doesn't know them: a serial console says 0. */
export function knownSize(size = 0): number | undefined {
  return size > 0 ? size : undefined;
}

export interface OutputOptions {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Thrown by a print after the reader has gone (`stillpoint list | head`). It ends the verb, and isn't a failure. */
export class OutputClosed extends Error {}

export type Style = "bold" | "dim" | "red" | "green" | "yellow";

export class Output {
  readonly stderr: OutputStream;
  readonly #stdout: OutputStream;
  readonly #colourful: boolean;
  readonly #dumb: boolean;
  #failure: Error | undefined;

  constructor({ stdout, stderr, environment }: OutputOptions) {
    this.#stdout = stdout;
    this.stderr = stderr;
    // https://no-color.org: any value but the empty one.
    const { NO_COLOR: noColour = "", TERM: terminal = "" } = environment;
    this.#dumb = terminal === "dumb";
    this.#colourful = stdout.isTTY === true && noColour === "" && !this.#dumb;
    stdout.on("error", (error) => (this.#failure = error));
    // Nobody to tell: what is lost is talk, and the work goes on.
    stderr.on("error", () => undefined);
  }

  /** Columns of the terminal that results go to; undefined when they go elsewhere, where no line needs to be cut. */
  get width(): number | undefined {
    return this.#stdout.isTTY === true ? knownSize(this.#stdout.columns) : undefined;
  }

  /** The terminal that results go to, if what it shows can be drawn over. */
  get redrawable(): OutputStream | undefined {
    return this.#stdout.isTTY === true && !this.#dumb ? this.#stdout : undefined;
  }

  /** Whether a line of standard error can be written over. */
  get rewritesNotes(): boolean {
    return this.stderr.isTTY === true && !this.#dumb;
  }

  /** Prints a line of the result. Throws `OutputClosed`. */
  print(line = ""): void {
    this.#check();
    this.#stdout.write(`${line}\n`);
  }

  /** Prints the result for programs. Throws `OutputClosed`. */
  json(value: unknown): void {
    this.print(JSON.stringify(value, undefined, 2));
  }

  /** Writes bytes as they are, as fast as the reader takes them. Throws `OutputClosed`. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#check();
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.#stdout.write(bytes, () => resolve(undefined));
    await promise;
    this.#check();
  }

  /** Says something that isn't part of the result. */
  note(line: string): void {
    this.stderr.write(`${line}\n`);
  }

  /** `text` in a style, where that can be seen. */
  readonly style = (style: Style, text: string): string =>
    this.#colourful ? styleText(style, text, { validateStream: false }) : text;

  #check(): void {
    if (this.#failure === undefined) return;
    if ("code" in this.#failure && this.#failure.code === "EPIPE") throw new OutputClosed();
    throw this.#failure;
  }
}
