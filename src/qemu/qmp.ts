/**
 * A client of QEMU's machine protocol (docs/interop/qmp-spec.txt of QEMU's source) on a UNIX socket.
 *
 * What comes from the socket is not trusted to be well formed: anything else than QMP ends the connection with an error for
 * everybody who waits.
 */

import { once } from "node:events";
import * as net from "node:net";
import { harmless, StillpointError } from "../errors.ts";
import { throwIfCancelled } from "../host/cancel.ts";
import { type Clock, systemClock } from "../host/clock.ts";
import { isObject, JsonLines, type JsonObject } from "./json-lines.ts";

export interface QmpEvent {
  readonly event: string;
  readonly data: unknown;
  /** QEMU's own stamp, in ms since the epoch. */
  readonly time: number;
}

export interface QmpVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** What a distribution calls its build; often empty. */
  readonly package: string;
}

export interface QmpOptions {
  readonly signal?: AbortSignal | undefined;
  /** In ms, for each answer. By default 10,000, or what the connection was made with. */
  readonly timeout?: number | undefined;
}

/** QEMU's own "no" to a command. */
export class QmpError extends Error {
  readonly command: string;
  /** `GenericError`, `CommandNotFound`, `DeviceNotFound`, … */
  readonly class: string;
  readonly desc: string;

  constructor(command: string, kind: string, desc: string) {
    super(harmless(`QEMU refused ${command}: ${desc}`));
    this.name = "QmpError";
    this.command = command;
    this.class = kind;
    this.desc = desc;
  }
}

interface Settle<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

export class Qmp {
  readonly path: string;
  #version: QmpVersion = { major: 0, minor: 0, micro: 0, package: "" };
  readonly #socket: net.Socket;
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #lines = new JsonLines();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #commands = new Map<number, Settle<unknown> & { readonly command: string }>();
  /** Of everybody who waits for anything. */
  readonly #rejects = new Set<(error: Error) => void>();
  #greeted: ((greeting: JsonObject) => void) | undefined;
  #number = 0;
  #gone: StillpointError | undefined;

  private constructor(path: string, timeout: number, clock: Clock) {
    this.path = path;
    this.#timeout = timeout;
    this.#clock = clock;
    this.#socket = net.connect({ path });
    this.#socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    this.#socket.on("error", (error) => this.#fail(`the connection failed (${codeOf(error)})`));
    this.#socket.on("close", () => this.#fail("QEMU closed the connection"));
  }

  /**
   * Connects, and leaves the mode of negotiation. A socket serves one client at a time: while another program has it, there
   * is no greeting.
   *
   * @throws StillpointError `vm_unreachable`, `cancelled`
   */
  static async connect(path: string, options: QmpOptions & { readonly clock?: Clock } = {}): Promise<Qmp> {
    throwIfCancelled(options.signal);
    if (path === "" || path.includes("\0")) throw unreachable(path, "that is no path of a socket");
    const qmp = new Qmp(path, options.timeout ?? 10_000, options.clock ?? systemClock);
    try {
      qmp.#version = await qmp.#greeting(options);
      await qmp.execute("qmp_capabilities", undefined, options);
      return qmp;
    } catch (error) {
      await qmp.close();
      throw error instanceof QmpError ? unreachable(path, error.message) : error;
    }
  }

  get version(): QmpVersion {
    return this.#version;
  }

  /**
   * Runs a command. When time is up or the signal aborts, QEMU may have carried it out all the same, or may do so later; the
   * connection stays.
   *
   * @throws QmpError when QEMU says no; StillpointError `vm_unreachable` when it doesn't answer, `cancelled`
   */
  async execute<T = unknown>(command: string, arguments_?: object, options: QmpOptions = {}): Promise<T> {
    const id = ++this.#number;
    const answer = this.#wait<unknown>(`an answer to ${command}`, options, ({ resolve, reject }) => {
      this.#commands.set(id, { resolve, reject, command });
      this.#socket.write(`${JSON.stringify({ execute: command, ...(arguments_ && { arguments: arguments_ }), id })}\n`);
      return () => this.#commands.delete(id);
    });
    // The caller knows what QEMU documents for this command.
    return (await answer) as T;
  }

  /** What the human monitor prints for `line`. Its wording is no interface: only for what QMP lacks. */
  async hmp(line: string, options: QmpOptions = {}): Promise<string> {
    return await this.execute<string>("human-monitor-command", { "command-line": line }, options);
  }

  /** Calls `listener`, which must not throw, for each event from now on, in QEMU's order. Returns the way to stop it. */
  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /**
   * The next event for which `match` is true. Ask before giving the command that causes it: nothing is kept for later.
   *
   * @param options.timeout in ms
   * @throws StillpointError `vm_unreachable` when it doesn't come in time, or the connection ends; `cancelled`
   */
  async waitForEvent(
    match: (event: QmpEvent) => boolean,
    options: { readonly timeout: number; readonly signal?: AbortSignal | undefined },
  ): Promise<QmpEvent> {
    return await this.#wait<QmpEvent>("an event", options, ({ resolve }) =>
      this.onEvent((event) => {
        if (match(event)) resolve(event);
      }),
    );
  }

  /** The connection itself, to be shared with a child process (`stdio`): QEMU takes what that writes for ours. */
  get socket(): net.Socket {
    return this.#socket;
  }

  /** Ends the connection; whoever still waits gets `vm_unreachable`. */
  async close(): Promise<void> {
    this.#fail("the connection was closed on this side");
    if (this.#socket.closed) return;
    await once(this.#socket, "close");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #greeting(options: QmpOptions): Promise<QmpVersion> {
    const greeting = await this.#wait<JsonObject>("its greeting", options, ({ resolve }) => {
      this.#greeted = resolve;
      return () => {
        this.#greeted = undefined;
      };
    });
    const version = parseGreeting(greeting);
    if (!version) throw unreachable(this.path, "what answers there doesn't speak QMP");
    return version;
  }

  /** Waits for what `begin` sets going; the function that `begin` returns ends it, whatever happens. */
  async #wait<T>(what: string, options: QmpOptions, begin: (settle: Settle<T>) => () => void): Promise<T> {
    throwIfCancelled(options.signal);
    if (this.#gone) throw this.#gone;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const { timeout = this.#timeout, signal } = options;
    const done = new AbortController();
    const late = (): void =>
      reject(unreachable(this.path, `it has waited ${String(timeout / 1000)} s for ${what}`, perhapsTaken));
    this.#clock.sleep(timeout, signal ? AbortSignal.any([signal, done.signal]) : done.signal).then(late, reject);
    this.#rejects.add(reject);
    const end = begin({ resolve, reject });
    try {
      return await promise;
    } finally {
      end();
      this.#rejects.delete(reject);
      done.abort();
    }
  }

  #receive(chunk: Buffer): void {
    try {
      for (const message of this.#lines.take(chunk)) this.#dispatch(message);
    } catch (error) {
      this.#fail(error instanceof Error ? `what it sent isn't QMP: ${error.message}` : "what it sent isn't QMP");
    }
  }

  #dispatch(message: JsonObject): void {
    if (this.#gone) return;
    if (this.#greeted) {
      this.#greeted(message);
      this.#greeted = undefined;
      return;
    }
    const event = parseEvent(message);
    if (event) {
      for (const listener of this.#listeners) listener(event);
      return;
    }
    // An answer that nobody waits for came too late for somebody.
    const asked = typeof message["id"] === "number" ? this.#commands.get(message["id"]) : undefined;
    if (!asked) return;
    if ("return" in message) asked.resolve(message["return"]);
    else asked.reject(parseError(asked.command, message["error"]));
  }

  /** Only the first reason counts: those that follow are its consequences. */
  #fail(reason: string): void {
    if (this.#gone) return;
    this.#gone = unreachable(this.path, reason);
    this.#socket.destroy();
    for (const reject of this.#rejects) reject(this.#gone);
  }
}

const perhapsTaken =
  "One program at a time can use a QMP socket: see that no other is connected, and that QEMU isn't stopped.";

function unreachable(path: string, why: string, next?: string): StillpointError {
  return new StillpointError("vm_unreachable", {
    what: `Cannot use the QMP socket ${path}: ${why}`,
    safe: "Earlier recovery points are untouched.",
    next: next ?? "See that the virtual machine runs, and that `qmp` names its own socket, which this user may open.",
  });
}

function codeOf(error: Error): string {
  return "code" in error && typeof error.code === "string" ? error.code : error.message;
}

function parseGreeting(message: JsonObject): QmpVersion | undefined {
  const greeting = message["QMP"];
  const version = isObject(greeting) ? greeting["version"] : undefined;
  const qemu = isObject(version) ? version["qemu"] : undefined;
  if (!isObject(version) || !isObject(qemu)) return undefined;
  const { major, minor, micro } = qemu;
  if (typeof major !== "number" || typeof minor !== "number" || typeof micro !== "number") return undefined;
  return { major, minor, micro, package: typeof version["package"] === "string" ? version["package"] : "" };
}

function parseEvent(message: JsonObject): QmpEvent | undefined {
  const { event, timestamp, data } = message;
  if (typeof event !== "string") return undefined;
  const { seconds = 0, microseconds = 0 } = isObject(timestamp) ? timestamp : {};
  return { event, data, time: Number(seconds) * 1000 + Number(microseconds) / 1000 };
}

function parseError(command: string, error: unknown): QmpError {
  const { class: kind = "GenericError", desc = "without a reason" } = isObject(error) ? error : {};
  return new QmpError(command, String(kind), String(desc));
}
