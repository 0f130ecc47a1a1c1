/** SFTP servers for tests: OpenSSH's own, over a pipe. */

import { spawnSync } from "node:child_process";
import { PassThrough } from "node:stream";
import { onTestFinished } from "vitest";
import { openProgramPipe, type ProgramPipe } from "../../src/host/program-pipe.ts";
import { systemClock, type Clock } from "../../src/host/clock.ts";
import { SftpClient } from "../../src/storage/drivers/sftp/client.ts";
import { SftpConnection } from "../../src/storage/drivers/sftp/connection.ts";
import { createSftpStorage } from "../../src/storage/drivers/sftp/create-sftp-storage.ts";
import { SftpStorage } from "../../src/storage/drivers/sftp/sftp-storage.ts";
import { connectionError } from "../../src/storage/drivers/sftp/ssh-trouble.ts";
import { tempDir } from "./temp-dir.ts";

export const sftpServer = "/usr/lib/openssh/sftp-server";

/** Speaks to what a pipe leads to. */
export async function connectTo(
  pipe: ProgramPipe,
  clock: Clock = systemClock,
  moved?: () => void,
): Promise<SftpClient> {
  const connection = new SftpConnection({
    pipe,
    clock,
    moved,
    explain: (trouble) => connectionError({ location: "replica", url: "sftp://test", missingKey: undefined }, trouble),
  });
  return await SftpClient.greet(connection);
}

export interface LocalServer {
  readonly storage: SftpStorage;
  /** The storage's folder. */
  readonly root: string;
  /** Every server process so far, the latest last. */
  readonly pipes: readonly ProgramPipe[];
  connect(): Promise<SftpClient>;
}

export interface LocalServerOptions {
  /** Arguments for sftp-server, such as `-R`; see sftp-server(8). */
  readonly args?: readonly string[];
  /** Another program instead. */
  readonly command?: readonly [string, ...string[]];
  /** Each connection is lost after so many bytes of the server's. */
  readonly cutAfter?: number;
  readonly root?: string;
  readonly clock?: Clock;
  /** At once, at most; 1 by default. */
  readonly connections?: number;
  /** Whether the storage is there already. */
  readonly made?: boolean;
}

/** A new, empty storage on OpenSSH's SFTP server, without ssh. */
export async function localServer(options: LocalServerOptions = {}): Promise<LocalServer> {
  const {
    args = [],
    command = [sftpServer, ...args],
    root = `${await tempDir()}/store`,
    clock = systemClock,
  } = options;
  const pipes: ProgramPipe[] = [];
  onTestFinished(() => {
    for (const pipe of pipes) pipe.kill();
  });
  const connect = async (): Promise<SftpClient> => {
    const pipe = cut(openProgramPipe(command), options.cutAfter);
    pipes.push(pipe);
    return await connectTo(pipe, clock);
  };
  if (options.made !== true) {
    await createSftpStorage({
      location: "replica",
      path: root,
      connect: async () => await connectTo(openProgramPipe([sftpServer])),
    });
  }
  const { connections } = options;
  const storage = new SftpStorage({ location: "replica", path: root, clock, connections, connect });
  return { storage, root, pipes, connect };
}

/** The pipe, killed when it has brought so many bytes. */
function cut(pipe: ProgramPipe, after = Number.POSITIVE_INFINITY): ProgramPipe {
  const output = new PassThrough();
  let left = after;
  pipe.output.on("data", (chunk: Buffer) => {
    // Before it is handed on: its reader gives the memory back at once.
    const { length } = chunk;
    if (left > 0) output.write(chunk.subarray(0, left));
    left -= length;
    if (left <= 0) pipe.kill();
  });
  return { ...pipe, output };
}

/** Runs a program to its end. Throws what it has to say when it fails. */
export function runProgram(program: string, ...args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error?.message ?? stderr}`);
  return stdout;
}
