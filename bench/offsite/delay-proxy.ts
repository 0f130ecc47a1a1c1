/** A line of a given length: a TCP proxy that hands everything on later. What Linux's netem does, where the kernel has none. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Bytes under way in one direction of a connection at most: what Linux grows a TCP window to (net.ipv4.tcp_wmem). */
const window = 4 * 2 ** 20;

/** How many bytes had moved when. */
class Flow {
  /** Times in ms. */
  readonly #moved: { readonly bytes: number; readonly time: number }[] = [];

  note(bytes: number): void {
    this.#moved.push({ bytes: (this.#moved.at(-1)?.bytes ?? 0) + bytes, time: performance.now() });
  }

  /** Bytes per second, from the moment at which the first `bytes` of them had moved, to the last. */
  rateAfter(bytes: number): number {
    const first = this.#moved.find((one) => one.bytes >= bytes);
    const last = this.#moved.at(-1);
    if (first === undefined || last === undefined) return Number.NaN;
    return ((last.bytes - first.bytes) / (last.time - first.time)) * 1000;
  }
}

export class DelayProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** What went to the server, and what came from it. */
  readonly sent = new Flow();
  readonly received = new Flow();

  /** To `port` on loopback; a round trip takes `ms` longer. */
  constructor(port: number, ms: number) {
    this.#server = createServer({ noDelay: true }, (near) => {
      const far = connect({ host: "127.0.0.1", port, noDelay: true });
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
        // The other end notices by itself.
        socket.on("error", () => undefined);
      }
      carry(near, far, ms / 2, (bytes) => this.sent.note(bytes));
      carry(far, near, ms / 2, (bytes) => this.received.note(bytes));
    });
  }

  /** Returns the port on loopback. */
  async start(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await this.#server[Symbol.asyncDispose]();
  }
}

function carry(from: Socket, to: Socket, ms: number, note: (bytes: number) => void): void {
  let underWay = 0;
  const later = (what: () => void): void => {
    if (ms === 0) what();
    else setTimeout(what, ms);
  };
  from.on("data", (chunk: Buffer) => {
    note(chunk.length);
    underWay += chunk.length;
    if (underWay >= window) from.pause();
    later(() => {
      to.write(chunk);
      // The acknowledgement takes as long.
      later(() => {
        underWay -= chunk.length;
        if (underWay < window) from.resume();
      });
    });
  });
  from.once("end", () => later(() => to.end()));
  from.once("close", () => later(() => to.destroy()));
}
