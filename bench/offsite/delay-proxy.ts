/** A line of a given length: a TCP proxy that hands everything on later. What Linux's netem does, where the kernel has none. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Bytes under way in one direction of a connection at most: what Linux grows a TCP window to (net.ipv4.tcp_wmem). */
const window = 4 * 2 ** 20;

export class DelayProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** How many bytes had been sent to the server when; times in ms. */
  readonly #sent: { readonly bytes: number; readonly time: number }[] = [];

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
      carry(near, far, ms / 2, (bytes) => this.#note(bytes));
      carry(far, near, ms / 2, () => undefined);
    });
  }

  /** Returns the port on loopback. */
  async start(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  /** Bytes per second that went to the server, from the moment at which the first `bytes` of them had, to the last. */
  rateAfter(bytes: number): number {
    const first = this.#sent.find((one) => one.bytes >= bytes);
    const last = this.#sent.at(-1);
    if (first === undefined || last === undefined) return Number.NaN;
    return ((last.bytes - first.bytes) / (last.time - first.time)) * 1000;
  }

  #note(bytes: number): void {
    this.#sent.push({ bytes: (this.#sent.at(-1)?.bytes ?? 0) + bytes, time: performance.now() });
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
