import { spawn } from "node:child_process";
import { once } from "node:events";
import * as path from "node:path";
import { onTestFinished } from "vitest";
import { waitFor } from "../helpers/guest/qemu.ts";
import { listensAt } from "../helpers/listening.ts";

export type RealServer = "qemu-nbd" | "nbdkit" | "nbdkit without structured replies";

/** Serves a raw file read-only as the export `disk`, until the test ends. Returns the socket's path. */
export async function startServer(kind: RealServer, folder: string, file: string): Promise<string> {
  const socket = path.join(folder, "nbd.sock");
  const server =
    kind === "qemu-nbd"
      ? spawn("qemu-nbd", [
          "--read-only",
          "--format=raw",
          "--export-name=disk",
          "--persistent",
          "--shared=8",
          `--socket=${socket}`,
          file,
        ])
      : spawn("nbdkit", [
          "--readonly",
          "--foreground",
          "--unix",
          socket,
          ...(kind === "nbdkit" ? [] : ["--no-sr"]),
          "file",
          file,
        ]);
  const ended = once(server, "exit");
  onTestFinished(async () => {
    // qemu-nbd forgets a SIGTERM that comes before its main loop.
    server.kill("SIGKILL");
    await ended;
  });
  await waitFor(`${kind} to listen`, async () => await listensAt(socket));
  return socket;
}
