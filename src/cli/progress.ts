/** How far a long verb is: one line that is rewritten on a terminal, plain lines now and then elsewhere. */
import type { Clock } from "../host/clock.ts";
import type { Cli } from "./cli.ts";
import { formatAge, formatBytes } from "./format.ts";
import { knownSize, type OutputStream } from "./output.ts";

/** What is counted. */
export type Unit = "bytes" | "points" | "blobs" | "packs";

export interface ProgressFlags {
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** Ms between two updates of the line on a terminal, and between two plain lines about the same work. */
const terminalInterval = 100;
const plainInterval = 10_000;
/** Before that much time, in ms, a rate is a guess. */
const settled = 1000;

interface Task {
  readonly begun: number;
  readonly doneThen: number;
  shown: number;
}

export class Progress {
  readonly #stream: OutputStream | undefined;
  readonly #rewrites: boolean;
  readonly #clock: Clock;
  readonly #tasks = new Map<string, Task>();
  #drawn = Number.NEGATIVE_INFINITY;
  #lineIsOpen = false;

  /** With `--json` or `--quiet` it says nothing. */
  constructor({ output, clock }: Cli, { quiet, json }: ProgressFlags) {
    this.#stream = quiet === true || json === true ? undefined : output.stderr;
    this.#rewrites = output.rewritesNotes;
    this.#clock = clock;
  }

  /** `task` is at `done` of `total`; `total` is undefined while it isn't known. Cheap: may be called for every block. */
  update(task: string, done: number, total: number | undefined, unit: Unit = "bytes"): void {
    const stream = this.#stream;
    if (stream === undefined) return;
    const now = this.#clock.monotonic();
    const state = this.#tasks.get(task) ?? { begun: now, doneThen: done, shown: now };
    this.#tasks.set(task, state);
    const terminal = this.#rewrites;
    if (now - (terminal ? this.#drawn : state.shown) < (terminal ? terminalInterval : plainInterval)) return;
    this.#drawn = now;
    state.shown = now;
    const text = describe(task, { done, total, unit, moved: done - state.doneThen, elapsed: now - state.begun });
    if (!terminal) return void stream.write(`${text}\n`);
    this.#lineIsOpen = true;
    // One column less than there are: some terminals break the line at the last one.
    stream.write(`\r${text.slice(0, (knownSize(stream.columns) ?? 80) - 1)}\u001B[K`);
  }

  /** Says something, above the line. */
  note(text: string): void {
    if (this.#stream === undefined) return;
    this.end();
    this.#stream.write(`${text}\n`);
  }

  /** Clears the line. To be called before anything else is printed. */
  end(): void {
    if (this.#lineIsOpen) this.#stream?.write("\r\u001B[K");
    this.#lineIsOpen = false;
  }
}

interface Situation {
  readonly done: number;
  readonly total: number | undefined;
  readonly unit: Unit;
  /** How much, and ms, since it was first seen. */
  readonly moved: number;
  readonly elapsed: number;
}

function describe(task: string, { done, total, unit, moved, elapsed }: Situation): string {
  const rate = elapsed >= settled ? moved / (elapsed / 1000) : 0;
  // An estimated total may be passed.
  const known = total !== undefined && total > 0 && done <= total;
  const amount = (number: number): string => (unit === "bytes" ? formatBytes(number) : String(Math.round(number)));
  return [
    `${task}: ${amount(done)}${known ? ` of ${amount(total)}, ${Math.floor((done / total) * 100)} %` : ""}`,
    rate > 0 && unit === "bytes" && `${amount(rate)}/s`,
    rate > 0 && known && `${formatAge(((total - done) / rate) * 1000)} left`,
  ]
    .filter((part) => part !== false)
    .join(", ");
}
