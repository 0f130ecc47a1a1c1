/** Tells whoever looks at the page what changes, as server-sent events (WHATWG HTML, section 9.2). */
import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { Clock } from "../host/clock.ts";
import type { Logger } from "../host/log.ts";
import type { DaemonStatus, History, LiveWork } from "./control-protocol.ts";

export interface LiveFeedOptions {
  readonly status: () => DaemonStatus;
  /** As it was read last; undefined until then. */
  readonly history: () => History | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Clients at the same time: each costs a connection, and what is on its way. */
const mostClients = 16;
/** How often is looked whether something has changed, in ms. */
const interval = 1000;
/** A sign of life, in ms, though nothing has changed: proxies and browsers give up what is silent. */
const heartbeat = 15_000;
/** How long a client may leave what it was sent unread, in ms. Until then nothing more is sent to it. */
const patience = 30_000;

type Kind = "status" | "history" | "work";

/** The latest of a kind, with a number that grows with every change. */
interface Told {
  readonly number: number;
  readonly stamp: string;
  /** As it is sent. Undefined while nobody looks. */
  readonly data: string | undefined;
}

interface Client {
  readonly response: ServerResponse;
  /** The number of each kind that it has. */
  readonly has: Map<Kind, number>;
  /** When it was sent something last, and since when that is unread. */
  sent: number;
  stuck: number | undefined;
}

/** Idle while nobody looks. A client gets the latest of each kind, never a backlog, so none can make the daemon grow. */
export class LiveFeed {
  readonly #options: LiveFeedOptions;
  /** Numbers of an earlier process mean nothing to this one. */
  readonly #era: string;
  readonly #clients = new Set<Client>();
  readonly #told = new Map<Kind, Told>();
  #stop: AbortController | undefined;

  constructor(options: LiveFeedOptions) {
    this.#options = options;
    this.#era = options.clock.now().toString(36);
  }

  /** Whether there are as many clients as there may be. */
  get isFull(): boolean {
    return this.#clients.size >= mostClients;
  }

  /** Takes up a client, until it goes. `lastEvent` is the id of the last event that it heard before it lost us. */
  add(response: ServerResponse, lastEvent: string | undefined): void {
    const now = this.#options.clock.monotonic();
    const client: Client = { response, has: this.#parse(lastEvent), sent: now, stuck: undefined };
    response.on("close", () => this.#remove(client));
    this.#clients.add(client);
    response.write("retry: 2000\n\n");
    this.#refresh();
    this.#send(client);
    if (this.#stop === undefined) void this.#run();
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options;
    const stop = new AbortController();
    this.#stop = stop;
    try {
      while (!stop.signal.aborted) {
        await clock.sleep(interval, stop.signal).catch(() => undefined);
        if (stop.signal.aborted) return;
        this.#refresh();
        for (const client of this.#clients) this.#send(client);
      }
    } catch (error) {
      log.error("the page isn't live any more", { error });
      for (const { response } of this.#clients) response.destroy();
    }
  }

  #refresh(): void {
    const status = this.#options.status();
    const { now, work, ...rest } = status;
    this.#tell("status", status, { ...rest, locations: rest.locations.map(unhurried) });
    this.#tell("work", { now, work } satisfies LiveWork, work);
    const history = this.#options.history();
    if (history === undefined) return;
    this.#tell("history", history, [history.time, history.sizes.map(({ samples }) => samples.at(-1))]);
  }

  /** `essence`: what of the content is news when it changes. */
  #tell(kind: Kind, content: object, essence: object): void {
    const stamp = createHash("sha256").update(JSON.stringify(essence)).digest("base64");
    const before = this.#told.get(kind);
    if (before?.stamp === stamp && before.data !== undefined) return;
    const number = before?.stamp === stamp ? before.number : (before?.number ?? 0) + 1;
    this.#told.set(kind, { number, stamp, data: JSON.stringify(content) });
  }

  #send(client: Client): void {
    const now = this.#options.clock.monotonic();
    const { response } = client;
    if (response.writableNeedDrain) {
      client.stuck ??= now;
      if (now - client.stuck >= patience) response.destroy();
      return;
    }
    client.stuck = undefined;
    let text = "";
    for (const [kind, { number, data }] of this.#told) {
      if (client.has.get(kind) === number) continue;
      client.has.set(kind, number);
      text += `id: ${this.#idOf(client)}\nevent: ${kind}\ndata: ${data ?? ""}\n\n`;
    }
    if (text === "" && now - client.sent >= heartbeat) text = "event: heartbeat\ndata: {}\n\n";
    if (text === "") return;
    client.sent = now;
    response.write(text);
  }

  /** What the client has, so that it gets only the rest when it comes back. */
  #idOf({ has }: Client): string {
    return `${this.#era}.${has.get("status") ?? 0}.${has.get("history") ?? 0}`;
  }

  #parse(id: string | undefined): Map<Kind, number> {
    const [era, status, history] = (id ?? "").split(".");
    if (era !== this.#era) return new Map();
    return new Map([
      ["status", Number(status)],
      ["history", Number(history)],
    ]);
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size > 0) return;
    this.#stop?.abort();
    this.#stop = undefined;
    for (const [kind, told] of this.#told) this.#told.set(kind, { ...told, data: undefined });
  }
}

/** When a location was looked at last, and what is free there, change every minute: told with the next change of something else. */
function unhurried(location: DaemonStatus["locations"][number]): object {
  return { ...location, checked: 0, freeBytes: 0 };
}
