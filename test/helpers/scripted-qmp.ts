/** A QMP server whose every byte a test decides. */
import * as net from "node:net";
import * as path from "node:path";
import { onTestFinished } from "vitest";
import { tempDir } from "./temp-dir.ts";

export const greeting =
  '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7},"package":"Debian"},"capabilities":["oob"]}}\r\n';

export interface Command {
  readonly execute: string;
  readonly arguments?: unknown;
  readonly id: number;
}

/** What the server does: `write` sends text or bytes as they are, `close` hangs up. */
export interface Peer {
  write(data: string | Buffer): void;
  close(): void;
}

export interface ScriptedQmp {
  readonly path: string;
  /** All commands so far, `qmp_capabilities` left out. */
  readonly commands: Command[];
  /** Set by the test: the answer to each command. By default, none. */
  answer: (command: Command, peer: Peer) => void;
}

/** @param hello what it sends to a new client */
export async function scriptedQmp(hello: (peer: Peer) => void = (peer) => peer.write(greeting)): Promise<ScriptedQmp> {
  const script: ScriptedQmp = {
    path: path.join(await tempDir(), "qmp"),
    commands: [],
    answer: () => undefined,
  };
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    const peer: Peer = { write: (data) => void socket.write(data), close: () => socket.destroy() };
    let text = "";
    socket.on("data", (data) => {
      text += data.toString();
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) {
        const command = JSON.parse(line) as Command;
        if (command.execute === "qmp_capabilities") peer.write(`{"return":{},"id":${String(command.id)}}\n`);
        else {
          script.commands.push(command);
          script.answer(command, peer);
        }
      }
    });
    hello(peer);
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => {
    server.listen(script.path, resolve);
  });
  return script;
}

/** The answer "yes" with `value`. */
export function returns(value: unknown): (command: Command, peer: Peer) => void {
  return ({ id }, peer) => peer.write(`${JSON.stringify({ return: value, id })}\r\n`);
}
