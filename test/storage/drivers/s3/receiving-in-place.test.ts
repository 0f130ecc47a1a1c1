/** Connections that use one piece of memory over and over; what was asked for isn't in it. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  type Agent,
  Agent as HttpAgent,
  createServer,
  type IncomingMessage,
  request,
  type ServerResponse,
} from "node:http";
import { Agent as HttpsAgent, createServer as createSecureServer, request as requestSecurely } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { buffer } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { receivingInPlace } from "../../../../src/storage/drivers/s3/receiving-in-place.ts";
import { testCertificate, testCertificateKey } from "../../../helpers/test-certificate.ts";

const contents = [randomBytes(3_000_000), randomBytes(2_000_000)];

const answering = ({ url = "" }: IncomingMessage, answer: ServerResponse): void =>
  void answer.end(contents[Number(url.slice(1))]);

const kinds = {
  http: () => ({ server: createServer(answering), agent: new HttpAgent({ keepAlive: true }), ask: request }),
  https: () => ({
    server: createSecureServer({ key: testCertificateKey, cert: testCertificate }, answering),
    agent: new HttpsAgent({ keepAlive: true, ca: testCertificate }),
    ask: requestSecurely,
  }),
};

test.each(["http", "https"] as const)(
  "by %s all pieces of a connection come in the same memory, and all answers are right",
  async (kind) => {
    const { server, agent, ask } = kinds[kind]();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(async () => {
      agent.destroy();
      server.closeAllConnections();
      await server[Symbol.asyncDispose]();
    });
    const { port } = server.address() as AddressInfo;
    const receiving: Agent = receivingInPlace(agent);
    const memories = new Map<Socket, Set<ArrayBufferLike>>();
    const get = async (number: number): Promise<Buffer> => {
      const asked = ask({ host: "127.0.0.1", port, path: `/${String(number)}`, agent: receiving }).end();
      asked.once("socket", (socket) => {
        const seen = memories.get(socket) ?? new Set();
        memories.set(socket, seen);
        socket.on("data", (piece: Buffer) => void seen.add(piece.buffer));
      });
      const [answer] = (await once(asked, "response")) as [IncomingMessage];
      return await buffer(answer);
    };
    for (let round = 0; round < 3; round++) {
      const answers = await Promise.all([get(0), get(1)]);
      expect(answers.map((answer, number) => answer.equals(contents[number] as Buffer))).toEqual([true, true]);
    }
    expect([...memories.values()].map(({ size }) => size)).toEqual([1, 1]);
    expect(new Set([...memories.values()].flatMap((seen) => [...seen])).size).toBe(2);
  },
);
