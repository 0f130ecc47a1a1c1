/** A small HTTP server for things to look at. It changes nothing, whoever asks. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import { StillpointError } from "../errors.ts";
import type { Logger } from "../host/log.ts";

export interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** An answer that goes on until one of the two ends it. */
export interface Stream {
  readonly contentType: string;
  /** Takes over the response, once its head is written. */
  readonly open: (response: ServerResponse) => void;
}

/** What of a request matters. */
export interface Asked {
  readonly accept: string | undefined;
  readonly query: URLSearchParams;
  /** Of a browser that has lost its event stream. */
  readonly lastEventId: string | undefined;
}

/** By path. */
export type Routes = Readonly<Record<string, (asked: Asked) => Promise<Answer> | Answer | Stream>>;

export interface Listen {
  readonly host: string;
  readonly port: number;
}

export interface HttpServer {
  /** `http://127.0.0.1:9464`, with the port that the system chose when 0 was asked for. */
  readonly url: string;
  /** Ends open connections too. */
  close(): Promise<void>;
}

/** In ms and bytes: a scraper needs less than any of them. */
const limits = { headersTimeout: 5000, requestTimeout: 10_000, keepAliveTimeout: 5000, maxHeaderSize: 8192 } as const;
const mostConnections = 64;

/** Throws `busy` when the port is taken, `storage_denied` or `config_invalid` when the address can't be used. */
export async function serveHttp({ host, port }: Listen, routes: Routes, log: Logger): Promise<HttpServer> {
  const server = createServer(limits, (request, response) => {
    respond(request, response, routes, isLoopback(host)).catch((error: unknown) => {
      log.error("request failed", { path: request.url, error });
      response.destroy();
    });
  });
  server.maxConnections = mostConnections;
  await listen(server, host, port);
  const { port: chosen } = server.address() as AddressInfo;
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${String(chosen)}`,
    close: async () => {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  routes: Routes,
  loopback: boolean,
): Promise<void> {
  const answer = await answerTo(request, routes, loopback);
  const head = { ...headers, "content-type": answer.contentType };
  if ("open" in answer) {
    response.writeHead(200, head);
    if (request.method === "HEAD") response.end();
    else answer.open(response);
    return;
  }
  const body = Buffer.from(answer.body);
  const allow = answer.status === 405 ? { allow: "GET, HEAD" } : {};
  response.writeHead(answer.status, { ...head, ...allow, "content-length": body.length });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** The page may load and ask nothing but this server, nothing in it runs but its own scripts, and no other page may show it. */
const policy = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"];
const headers = {
  "cache-control": "no-store",
  "content-security-policy": [...policy, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"].join("; "),
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

async function answerTo(request: IncomingMessage, routes: Routes, loopback: boolean): Promise<Answer | Stream> {
  if (request.method !== "GET" && request.method !== "HEAD") return text(405, "only GET and HEAD");
  if (loopback && !isLocalName(request.headers.host)) return text(421, "not the name of this host");
  const [path = "/", query = ""] = (request.url ?? "/").split("?");
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined;
  if (route === undefined) return text(404, "no such page");
  const { accept, "last-event-id": lastEventId } = request.headers;
  const asked = { accept, query: new URLSearchParams(query), lastEventId: lastEventId?.toString() };
  return await route(asked);
}

export function text(status: number, body: string): Answer {
  return { status, contentType: "text/plain; charset=utf-8", body: `${body}\n` };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/**
 * A web page can make a browser on this host ask us, under a name of its own that it lets point here (DNS rebinding). So
 * on loopback only addresses and names of the host itself are answered.
 */
function isLocalName(host: string | undefined): boolean {
  if (host === undefined) return false;
  const name = host
    .replace(/:\d+$/, "")
    .replace(/^\[(.*)\]$/, "$1")
    .toLowerCase();
  return isIP(name) !== 0 || name === "localhost" || name.endsWith(".localhost");
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, "listening");
  } catch (error) {
    throw listenError(error, `${host}:${String(port)}`);
  }
  server.on("error", () => undefined);
}

function listenError(error: unknown, address: string): StillpointError {
  const errno = error instanceof Error && "code" in error ? error.code : undefined;
  const next = "Choose another one in the configuration (`daemon.listen`).";
  if (errno === "EADDRINUSE") {
    return new StillpointError("busy", {
      what: `Cannot listen on ${address}: another process does`,
      next,
      cause: error,
    });
  }
  if (errno === "EACCES") {
    return new StillpointError("storage_denied", {
      what: `Cannot listen on ${address}: not allowed`,
      next,
      cause: error,
    });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new StillpointError("config_invalid", { what: `Cannot listen on ${address}: ${reason}`, next, cause: error });
}
