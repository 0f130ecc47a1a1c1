/** An S3 store that answers what a test tells it to: for what a real one can't be made to do. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { onTestFinished } from "vitest";
import { S3Storage, type S3StorageOptions } from "../../src/storage/drivers/s3/s3-storage.ts";
import type { S3Address } from "../../src/storage/storage.ts";
import { tempDir } from "./temp-dir.ts";
import { testCertificateKey } from "./test-certificate.ts";

export interface Request {
  /** `METHOD /path?query` */
  readonly line: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Answer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export interface ScriptedStore {
  readonly address: S3Address;
  readonly storage: S3Storage;
  /** In the order in which they came. */
  readonly requests: Request[];
}

/** By HTTPS, when there is a certificate for `testCertificateKey`. */
export async function scriptedStore(
  answer: (request: Request) => Answer | Promise<Answer>,
  { certificate, ...options }: Partial<S3StorageOptions> & { readonly certificate?: string } = {},
): Promise<ScriptedStore> {
  const requests: Request[] = [];
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const { method, url, headers } = incoming;
    const request = { line: `${method} ${url}`, headers, body: await buffer(incoming) };
    requests.push(request);
    const { status = 200, headers: given = {}, body = "" } = await answer(request);
    outgoing.writeHead(status, given).end(body);
  };
  const answering = (incoming: IncomingMessage, outgoing: ServerResponse): void => void serve(incoming, outgoing);
  const server =
    certificate === undefined
      ? createServer(answering)
      : createSecureServer({ key: testCertificateKey, cert: certificate }, answering);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(async () => {
    server.closeAllConnections();
    await server[Symbol.asyncDispose]();
  });
  const path = `${await tempDir()}/credentials`;
  await writeFile(path, "aws_access_key_id = AKIA\naws_secret_access_key = hidden\n");
  const address: S3Address = {
    kind: "s3",
    location: "far",
    endpoint: `${certificate === undefined ? "http" : "https"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: "us-east-1",
    bucket: "bucket",
    prefix: "host/",
    pathStyle: true,
    caFile: undefined,
    credentials: { kind: "file", path },
    objectLock: undefined,
  };
  return { address, storage: new S3Storage({ address, ...options }), requests };
}

/** The answer with which a store refuses. */
export function refusal(status: number, code: string): Answer {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>made up</Message></Error>`;
  return { status, headers: { "content-type": "application/xml" }, body };
}

export function xml(name: string, content: string): Answer {
  return { headers: { "content-type": "application/xml" }, body: `<?xml version="1.0"?><${name}>${content}</${name}>` };
}
