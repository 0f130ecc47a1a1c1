import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import { testCertificate, testCertificateKey } from "./test-certificate.ts";

export interface Received {
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver of webhooks and pings that notes every request. */
export interface Receiver {
  readonly url: string;
  readonly received: Received[];
  /** What it answers from now on; undefined is nothing at all. 200 at first. */
  status: number | undefined;
}

export async function startReceiver({ tls = false } = {}): Promise<Receiver> {
  const server = tls ? createTlsServer({ cert: testCertificate, key: testCertificateKey }) : createServer();
  server.on("request", (request, response) => {
    text(request).then(
      (body) => {
        const { method, url: path, headers } = request;
        receiver.received.push({ method, path, headers, body });
        if (receiver.status === undefined) return;
        response.writeHead(receiver.status, { location: "/elsewhere" }).end("whatever it says is of no interest");
      },
      () => undefined,
    );
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    await server[Symbol.asyncDispose]();
  });
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    url: `http${tls ? "s" : ""}://127.0.0.1:${String(port)}`,
    received: [],
    status: 200,
  };
  return receiver;
}
