import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { takeServiceManager } from "../../src/host/service-manager.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/** Stands for systemd: prints each datagram as a line of JSON, after one when it listens. */
const receiver = `
import json, socket, sys
name = sys.argv[1]
listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listening.bind("\\0" + name[1:] if name[0] == "@" else name)
print(json.dumps("listening"), flush=True)
while True: print(json.dumps(listening.recv(4096).decode()), flush=True)
`;

async function listenAt(address: string): Promise<() => Promise<unknown>> {
  const child = spawn("python3", ["-c", receiver, address], { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill());
  const lines = createInterface(child.stdout);
  const next = async (): Promise<unknown> => JSON.parse(String((await once(lines, "line"))[0])) as unknown;
  expect(await next()).toBe("listening");
  return next;
}

test("tells the service manager by datagrams, at a path or an abstract address", async () => {
  for (const address of [`${await tempDir()}/notify`, `@stillpoint-test-${String(process.pid)}`]) {
    const next = await listenAt(address);
    const manager = takeServiceManager({ NOTIFY_SOCKET: address }, process.pid);
    const received = next();
    manager?.notify("READY=1", "STATUS=3 policies");
    expect(await received).toBe("READY=1\nSTATUS=3 policies");
  }
});

test("takes the variables out of the environment, and minds whose watchdog it is", () => {
  const environment = { NOTIFY_SOCKET: "/run/notify", WATCHDOG_USEC: "180000000", WATCHDOG_PID: "7", PATH: "/bin" };
  expect(takeServiceManager({ ...environment }, 7)?.watchdog).toBe(180_000);
  expect(takeServiceManager({ ...environment }, 8)?.watchdog).toBeUndefined();
  expect(takeServiceManager({ NOTIFY_SOCKET: "/run/notify" }, 8)?.watchdog).toBeUndefined();
  takeServiceManager(environment, 7);
  expect(environment).toEqual({ PATH: "/bin" });
  expect(takeServiceManager(environment, 7)).toBeUndefined();
});

test("an address that leads nowhere is an error", async () => {
  const gone = takeServiceManager({ NOTIFY_SOCKET: `${await tempDir()}/gone` }, process.pid);
  expect(() => gone?.notify("READY=1")).toThrow("ENOENT");
  const other = takeServiceManager({ NOTIFY_SOCKET: "vsock:2:1" }, process.pid);
  expect(() => other?.notify("READY=1")).toThrow("NOTIFY_SOCKET is vsock:2:1");
});
