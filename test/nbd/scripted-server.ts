import * as net from "node:net";
import * as path from "node:path";
import { onTestFinished } from "vitest";
import { tempDir } from "../helpers/temp-dir.ts";

/** Numbers of the protocol, written out: a slip in the table of the code under test must be seen. */
export function greeting(flags = 3): Buffer {
  return Buffer.concat([Buffer.from("NBDMAGICIHAVEOPT"), u16(flags)]);
}

export function optionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from("0003e889045565a9", "hex"), u32(option), u32(type), u32(data.length), data]);
}

export function exportInfo(size: number | bigint, flags = 3): Buffer {
  return optionReply(7, 3, Buffer.concat([u16(0), u64(size), u16(flags)]));
}

export function chunk(flags: number, type: number, cookie: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(0x668e33ef), u16(flags), u16(type), u64(cookie), u32(payload.length), payload]);
}

export function simpleReply(error: number, cookie: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(0x67446698), u32(error), u64(cookie), data]);
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function u64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

/** An export of `size` bytes with structured replies, and with the context `base:allocation` as number 7. */
export function agreement(size: number): Buffer[] {
  return [
    greeting(),
    optionReply(8, 1),
    optionReply(10, 4, Buffer.concat([u32(7), Buffer.from("base:allocation")])),
    optionReply(10, 1),
    exportInfo(size),
    optionReply(7, 1),
  ];
}

/** A server that sends each client the same, whatever it asks, then what `more` wants. Returns its socket's path. */
export async function scriptedServer(bytes: readonly Buffer[], more?: (socket: net.Socket) => void): Promise<string> {
  const socketPath = path.join(await tempDir(), "nbd.sock");
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.resume();
    socket.write(Buffer.concat(bytes));
    more?.(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(socketPath, resolve);
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return socketPath;
}
