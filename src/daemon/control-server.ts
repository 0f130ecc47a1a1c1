/** The daemon's side of the control socket (docs/control.md). */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { reasonOf } from "../host/errno-words.ts";
import { errnoOf } from "../host/files.ts";
import { StillpointError } from "../errors.ts";
import type { Clock } from "../host/clock.ts";
import { nodeFiles } from "../host/node-files.ts";
import { randomBytes } from "../host/random.ts";
import { errorReport } from "../job/report.ts";
import { type ControlAnswer, type ControlRequest, controlRequest } from "./control-protocol.ts";

/** Answers a request; may send events before. */
export type ControlHandler = (request: ControlRequest, sendEvent: (event: unknown) => void) => Promise<unknown>;

export interface ControlServer {
  /** Ends open connections too, and removes the socket. */
  close(): Promise<void>;
}

/** Linux' limit for the path of a unix socket, without the zero byte at its end (unix(7)). */
const longestPath = 107;
const longestRequest = 64 * 1024;
/** How long a client may take to say what it wants, in ms. */
const patience = 10_000;

/**
 * Listens on `path`, readable for this user only. The folder must be there. Throws `busy` when another daemon listens
 * there, `usage` when the path is too long for a socket, `storage_denied` or `storage_failed` when it can't be made.
 */
export async function serveControl(path: string, handle: ControlHandler, clock: Clock): Promise<ControlServer> {
  if (Buffer.byteLength(path) > longestPath) {
    throw new StillpointError("usage", {
      what: `Cannot make the control socket ${path}: its path has more than ${String(longestPath)} bytes`,
      next: "Name a state folder with a shorter path (`repository.state` in the configuration).",
    });
  }
  const connections = new Set<Socket>();
  const server = createServer((socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    // A client that goes away misses its answer; nothing else depends on it.
    socket.on("error", () => undefined);
    void serveClient(socket, handle, clock);
  });
  await listenAlone(server, path);
  return {
    close: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of connections) socket.destroy();
      await closed;
    },
  };
}

async function serveClient(socket: Socket, handle: ControlHandler, clock: Clock): Promise<void> {
  const send = (answer: ControlAnswer): void => {
    if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
  };
  try {
    const request = controlRequest.safeParse(await readRequest(socket, clock));
    if (!request.success) {
      throw new StillpointError("usage", {
        what: "This isn't a request that the daemon knows",
        next: "Use the command line of the same version as the daemon.",
      });
    }
    send({ result: (await handle(request.data, (event) => send({ event }))) ?? null });
  } catch (error) {
    send({ error: errorReport(error) });
  }
  socket.end();
}

/** The first line, as JSON; undefined when it is none, too long, or too late. */
async function readRequest(socket: Socket, clock: Clock): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  socket.setEncoding("utf8");
  socket.on("data", (piece: string) => {
    received += piece;
    const end = received.indexOf("\n");
    if (end !== -1) resolve(received.slice(0, end));
    else if (received.length > longestRequest) resolve("");
  });
  socket.on("close", () => resolve(""));
  const stop = new AbortController();
  clock.sleep(patience, stop.signal).then(
    () => resolve(""),
    () => undefined,
  );
  const line = await promise;
  stop.abort();
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** A socket that nobody answers at is left from a daemon that was killed. */
async function listenAlone(server: Server, path: string): Promise<void> {
  try {
    if (await listen(server, path)) return;
    if (!(await isAnswered(path)) && (await removeStale(path)) && (await listen(server, path))) return;
  } catch (error) {
    const denied = ["EACCES", "EPERM", "EROFS"].includes(errnoOf(error) ?? "");
    throw new StillpointError(denied ? "storage_denied" : "storage_failed", {
      what: `Cannot make the control socket ${path}: ${reasonOf(error)}`,
      next: "See that the state folder is there and can be written.",
      cause: error,
    });
  }
  throw new StillpointError("busy", {
    what: `Another daemon serves this repository: it answers at ${path}`,
    safe: "It goes on as before.",
    next: "Stop it first, or use it: `stillpoint status`.",
  });
}

/** Moved aside first: if another daemon has just replaced it by its own, that one is put back, and false returned. */
async function removeStale(path: string): Promise<boolean> {
  const aside = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    await nodeFiles.rename(path, aside);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return true;
    throw error;
  }
  if (await isAnswered(aside)) {
    await nodeFiles.rename(aside, path);
    return false;
  }
  await nodeFiles.unlink(aside);
  return true;
}

/** False when something is there already. The mask makes the socket private from its first moment. */
async function listen(server: Server, path: string): Promise<boolean> {
  const mask = process.umask(0o177);
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const failed = (error: NodeJS.ErrnoException): void => {
    if (error.code === "EADDRINUSE") resolve(false);
    else reject(error);
  };
  server.once("error", failed);
  server.listen(path, () => resolve(true));
  process.umask(mask);
  try {
    return await promise;
  } finally {
    server.off("error", failed);
  }
}

async function isAnswered(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path, () => resolve(true));
  socket.on("error", (error: NodeJS.ErrnoException) => {
    // Anything but a refusal is no proof that nobody is there.
    resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
