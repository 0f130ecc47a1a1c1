/** An SFTP server in this process that answers as a test likes. */

import { PassThrough } from "node:stream";
import type { ProgramEnd, ProgramPipe } from "../../src/host/program-pipe.ts";
import { string, u32 } from "../../src/host/big-endian.ts";
import { Fields } from "../../src/storage/drivers/sftp/fields.ts";
import { PacketReader } from "../../src/storage/drivers/sftp/packet-reader.ts";
import { packetTypes } from "../../src/storage/drivers/sftp/protocol.ts";

export interface Request {
  readonly type: number;
  readonly id: number;
  /** What comes after the id. */
  readonly fields: Fields;
}

export interface ScriptedServer extends ProgramPipe {
  /** Requests so far, without the greeting. */
  readonly requests: readonly Request[];
  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void;
  /** Ends the program that carries the connection. */
  end(end?: Partial<ProgramEnd>): void;
  readonly killed: boolean;
}

export interface Script {
  /** The greeting; by default version 3 with the extensions. */
  readonly greeting?: Uint8Array;
  readonly extensions?: readonly string[];
  /** Bytes to send in answer, if any. */
  readonly answer?: (request: Request, server: ScriptedServer) => Uint8Array | undefined;
}

/** With its length and type before it. */
export function packet(type: number, ...fields: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat([Buffer.from([type]), ...fields]);
  return Buffer.concat([u32(body.length), body]);
}

export function status(id: number, code: number, message = ""): Buffer {
  return packet(packetTypes.status, u32(id), u32(code), string(message), string(""));
}

export function greeting(extensions: readonly string[] = []): Buffer {
  return packet(packetTypes.version, u32(3), ...extensions.flatMap((name) => [string(name), string("1")]));
}

export function scriptedServer(script: Script): ScriptedServer {
  const input = new PassThrough();
  const output = new PassThrough();
  const requests: Request[] = [];
  const ended = Promise.withResolvers<ProgramEnd>();
  const reader = new PacketReader();
  let killed = false;
  const server: ScriptedServer = {
    input,
    output,
    requests,
    ended: ended.promise,
    raw: (bytes) => void output.write(bytes),
    end: (end = {}) => ended.resolve({ status: 255, how: "it ended with exit status 255", words: "", ...end }),
    close: () => server.end({ status: 0, how: "it was closed" }),
    kill: () => {
      killed = true;
      server.end({ status: undefined, how: "it was ended by SIGKILL" });
    },
    get killed() {
      return killed;
    },
  };
  input.on("data", (chunk: Buffer) => {
    for (const bytes of reader.take(chunk)) {
      const fields = new Fields(Buffer.from(bytes));
      const type = fields.u8();
      const id = fields.u32();
      if (type === packetTypes.init) {
        output.write(script.greeting ?? greeting(script.extensions));
        continue;
      }
      const request = { type, id, fields };
      requests.push(request);
      const bytesBack = script.answer?.(request, server);
      if (bytesBack !== undefined) output.write(bytesBack);
    }
  });
  return server;
}
