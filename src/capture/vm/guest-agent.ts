/**
 * QEMU's guest agent (docs/interop/qemu-ga-ref of QEMU's source): freezes the guest's file systems, so that programs in it
 * find their files in good order. JSON lines on a UNIX socket, without a greeting and without numbers on the answers.
 */
import * as net from "node:net";
import { describeError, StillpointError } from "../../errors.ts";
import type { Clock } from "../../host/clock.ts";
import { randomBytes } from "../../host/random.ts";

/** In ms. Freezing flushes what the guest has in memory, which takes as long as its disks do. */
const answerWithin = 30_000;
const longestAnswer = 1024 * 1024;

export class GuestAgent {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #socket: net.Socket;
  #received = "";
  #wake: (() => void) | undefined;
  #failure: string | undefined;

  private constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
    this.#socket = net.connect({ path });
    this.#socket.setEncoding("utf8");
    this.#socket.on("data", (text: string) => this.#take(text));
    this.#socket.on("error", (error) => this.#end(describeError(error)));
    this.#socket.on("close", () => this.#end("the connection was closed"));
  }

  /** Connects, and skips what the agent may still have to say to somebody else. Throws `vm_unreachable`. */
  static async connect(path: string, clock: Clock): Promise<GuestAgent> {
    const agent = new GuestAgent(path, clock);
    try {
      const id = randomBytes(6).readUIntBE(0, 6);
      agent.#send("guest-sync", { id });
      while ((await agent.#answer()) !== id);
      return agent;
    } catch (error) {
      agent.close();
      throw error;
    }
  }

  /** Freezes all file systems. Returns how many. Throws `vm_unreachable`; the caller thaws even then. */
  async freeze(): Promise<number> {
    this.#send("guest-fsfreeze-freeze");
    return Number(await this.#answer());
  }

  async thaw(): Promise<void> {
    this.#send("guest-fsfreeze-thaw");
    await this.#answer();
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(command: string, arguments_?: object): void {
    this.#socket.write(`${JSON.stringify({ execute: command, ...(arguments_ && { arguments: arguments_ }) })}\n`);
  }

  async #answer(): Promise<unknown> {
    const line = await this.#line();
    const message: unknown = parse(line);
    if (typeof message !== "object" || message === null) throw this.#unreachable("it doesn't speak as an agent does");
    if ("return" in message) return message.return;
    const error = "error" in message ? JSON.stringify(message.error) : "it doesn't speak as an agent does";
    throw this.#unreachable(error);
  }

  async #line(): Promise<string> {
    const late = this.#clock.monotonic() + answerWithin;
    while (!this.#received.includes("\n")) {
      if (this.#failure !== undefined) throw this.#unreachable(this.#failure);
      const left = late - this.#clock.monotonic();
      if (left <= 0) throw this.#unreachable(`it didn't answer within ${answerWithin / 1000} s`);
      const { promise: news, resolve } = Promise.withResolvers<undefined>();
      this.#wake = () => resolve(undefined);
      const done = new AbortController();
      await Promise.race([news, this.#clock.sleep(left, done.signal).catch(() => undefined)]);
      done.abort();
    }
    const end = this.#received.indexOf("\n");
    const line = this.#received.slice(0, end);
    this.#received = this.#received.slice(end + 1);
    return line;
  }

  #take(text: string): void {
    this.#received += text;
    if (this.#received.length > longestAnswer) this.#end("its answer is too long");
    this.#wake?.();
  }

  #end(reason: string): void {
    this.#failure ??= reason;
    this.#socket.destroy();
    this.#wake?.();
  }

  #unreachable(why: string): StillpointError {
    return new StillpointError("vm_unreachable", {
      what: `Cannot use the guest agent at ${this.#path}: ${why}`,
      safe: "Earlier recovery points are untouched.",
      next: "See that qemu-guest-agent runs in the guest, and that no other program holds its socket open.",
    });
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
