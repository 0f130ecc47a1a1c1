import * as net from "node:net";

/** Whether a server listens at a UNIX socket. Its file is there a moment before that, when nobody is let in yet. */
export function listensAt(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const client = net.connect(socket);
    client.on("error", () => resolve(false));
    client.on("connect", () => {
      client.destroy();
      resolve(true);
    });
  });
}
