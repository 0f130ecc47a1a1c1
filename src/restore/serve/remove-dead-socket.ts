import { once } from "node:events";
import { lstat, unlink } from "node:fs/promises";
import * as net from "node:net";

/** Removes a UNIX socket that a killed server has left, so that another can listen there; one that somebody listens at stays. */
export async function removeDeadSocket(path: string): Promise<void> {
  const stats = await lstat(path).catch(() => undefined);
  if (stats?.isSocket() === true && !(await isListening(path))) await unlink(path);
}

/** Whether somebody accepts connections at a UNIX socket. */
async function isListening(path: string): Promise<boolean> {
  const socket = net.connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && (error.code === "ECONNREFUSED" || error.code === "ENOENT"));
  } finally {
    socket.destroy();
  }
}
