/** An HTTP proxy between a client and a store, which does to single requests what networks and stores do. */
import { once } from "node:events";
import { Agent, createServer, request, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

export type Fault =
  /** The connection ends before anything reaches the store. */
  | { readonly kind: "cut" }
  /** The store does what it was told; its answer never arrives. */
  | { readonly kind: "cut-answer" }
  /** The answer's body ends after so many bytes, and the connection with it. */
  | { readonly kind: "truncate"; readonly after: number }
  /** Nothing is answered, ever. */
  | { readonly kind: "hang" }
  /** The proxy answers in the store's place. */
  | { readonly kind: "answer"; readonly status: number; readonly code: string }
  /** One bit of what is sent to the store is another. */
  | { readonly kind: "flip" };

interface Rule {
  readonly matches: RegExp;
  fault: Fault;
  left: number;
}

export class FaultProxy implements AsyncDisposable {
  /** `METHOD /path?query` of every request, as it arrived. */
  readonly seen: string[] = [];
  readonly #target: URL;
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: false });
  readonly #rules: Rule[] = [];
  #underWay = 0;
  /** Requests that were under way at once, at most. */
  most = 0;

  constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer(
      (incoming, answer) => void this.#handle(incoming, answer).catch(() => answer.destroy()),
    );
  }

  async start(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The next `times` requests that match (`METHOD /path?query`) get the fault. */
  next(matches: RegExp, fault: Fault, times = 1): void {
    this.#rules.push({ matches, fault, left: times });
  }

  /** Faults that no request has met. */
  get unmet(): number {
    return this.#rules.reduce((sum, { left }) => sum + left, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await this.#server[Symbol.asyncDispose]();
  }

  async #handle(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    const line = `${incoming.method} ${incoming.url}`;
    this.seen.push(line);
    this.most = Math.max(this.most, ++this.#underWay);
    answer.once("close", () => this.#underWay--);
    const fault = this.#faultFor(line);
    if (fault?.kind === "hang") return;
    if (fault?.kind === "cut") {
      incoming.socket.destroy();
      return;
    }
    const body = await buffer(incoming);
    if (fault?.kind === "answer") {
      answer.writeHead(fault.status, { "content-type": "application/xml" });
      answer.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>made up</Message></Error>`);
      return;
    }
    if (fault?.kind === "flip") body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1;
    await this.#forward(incoming, body, answer, fault);
  }

  async #forward(incoming: IncomingMessage, body: Buffer, answer: ServerResponse, fault?: Fault): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { hostname, port } = this.#target;
    const { method, url, headers } = incoming;
    const options = { hostname, port, method, path: url, headers, agent: this.#agent };
    request(options, resolve).once("error", reject).end(body);
    const reply = await promise;
    const content = await buffer(reply);
    if (fault?.kind === "cut-answer") {
      answer.destroy();
      return;
    }
    answer.writeHead(reply.statusCode ?? 502, reply.headers);
    if (fault?.kind !== "truncate") {
      answer.end(content);
      return;
    }
    answer.write(content.subarray(0, fault.after), () => answer.destroy());
  }

  #faultFor(line: string): Fault | undefined {
    const rule = this.#rules.find(({ matches, left }) => left > 0 && matches.test(line));
    if (rule === undefined) return undefined;
    rule.left -= 1;
    return rule.fault;
  }
}
