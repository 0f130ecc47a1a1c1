import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { onTestFinished } from "vitest";

const launcher = join(import.meta.dirname, "../../bin/stillpoint");

/** A line of the daemon's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly message: string };

/** A daemon in a process of its own; killed when the test is over, whatever became of it. */
export class RunningDaemon {
  readonly process: ChildProcess;
  readonly lines: LogLine[] = [];
  /** What was printed to standard error, and what of the output isn't a line of the log. */
  errors = "";
  /** When it has ended and all that it printed has been read, which is a moment later. */
  readonly #closed: Promise<unknown>;
  #isClosed = false;
  #rest = "";

  constructor(configFile: string) {
    this.process = spawn(launcher, ["daemon", "--config", configFile], { stdio: ["ignore", "pipe", "pipe"] });
    this.process.stdout?.setEncoding("utf8").on("data", (piece: string) => this.#read(piece));
    this.process.stderr?.setEncoding("utf8").on("data", (piece: string) => (this.errors += piece));
    this.#closed = once(this.process, "close").finally(() => (this.#isClosed = true));
    onTestFinished(async () => await this.kill());
  }

  /** Resolves when it is at work; rejects with what it said when it ended instead. */
  async started(): Promise<string> {
    const line = await this.line(({ message }) => message === "started");
    return String(line["url"]);
  }

  /** The first line that matches, now or later. */
  async line(matches: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const found = eventually(() => {
      const line = this.lines.slice(from).find(matches);
      if (line === undefined && this.#isClosed) throw new Error("the daemon has ended");
      return line;
    });
    return await found.catch((error: unknown) => {
      throw new Error(`${String(error)}: ${this.errors} ${JSON.stringify(this.lines.slice(-15))}`, { cause: error });
    });
  }

  /** The exit status, or the signal that ended it; with it its work process has ended, and all that they printed is here. */
  async end(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals | null> {
    const { process: child } = this;
    if (signal !== undefined) child.kill(signal);
    await this.#closed;
    return child.exitCode ?? child.signalCode;
  }

  async kill(): Promise<void> {
    await this.end("SIGKILL");
  }

  #read(piece: string): void {
    const lines = (this.#rest + piece).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.startsWith("{")) this.lines.push(JSON.parse(line) as LogLine);
      else this.errors += `${line}\n`;
    }
  }
}

/** What `look` gives once it gives anything but undefined. */
export async function eventually<T>(
  look: () => T | undefined | Promise<T | undefined>,
  patience = 120_000,
): Promise<T> {
  const end = Date.now() + patience;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`still nothing after ${String(patience / 1000)} s`);
    await setTimeout(50);
  }
}

/** By a connection of its own: the daemon closes one that is kept after a while, which may be when it is used again. */
export async function get(url: string): Promise<Response> {
  return await fetch(url, { headers: { connection: "close" } });
}

/** The samples of a Prometheus text, by name and labels as they are written. */
export async function samplesAt(url: string): Promise<Map<string, number>> {
  const text = await (await get(`${url}/metrics`)).text();
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    samples.map((line): [string, number] => {
      const space = line.lastIndexOf(" ");
      return [line.slice(0, space), Number(line.slice(space + 1).replace("Inf", "Infinity"))];
    }),
  );
}
