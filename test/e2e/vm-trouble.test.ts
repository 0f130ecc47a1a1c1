/** What goes wrong while a guest is captured: no point is made, the guest goes on, and nothing is left in it. */
import * as fs from "node:fs";
import * as net from "node:net";
import * as path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Qmp } from "../../src/qemu/qmp.ts";
import { FaultyStorage } from "../helpers/faulty-storage.ts";
import { type CounterGuest, startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { contradictions } from "../helpers/guest/counter-record.ts";
import { describeGuest } from "../helpers/guest/leftovers.ts";
import { control, controlSocket, VmSite } from "../helpers/guest/vm-site.ts";
import { rejection } from "../helpers/rejection.ts";
import { whenReading } from "../helpers/guest/when-reading.ts";

let site: VmSite;
let guest: CounterGuest;
let qmp: Qmp;
let before: object;

async function start(args: readonly string[] = []): Promise<void> {
  const folder = fs.mkdtempSync(path.join(site.folder, "guest-"));
  guest = await startCounterGuest({ folder, memory: 32, args: [...controlSocket(folder), ...args] });
  qmp = await control(guest);
  before = await describeGuest(guest, site.spool);
}

beforeEach(async () => {
  site = await VmSite.make();
});

afterEach(async () => {
  await qmp.close();
  await guest.stop();
});

/** No point was made; the guest counts on, and is as it was. */
async function expectUntouched(): Promise<void> {
  expect(await site.points()).toEqual([]);
  await guest.ticks(5);
  expect(await describeGuest(guest, site.spool)).toEqual(before);
}

/** As a capture that was killed with its watchdog would have left it. */
async function leaveNode(): Promise<void> {
  await qmp.execute("blockdev-add", { driver: "null-co", "node-name": "stillpoint-scratch-9" });
}

const madeGood = "had left in the guest was made good: block nodes";

describe("a capture fails", () => {
  beforeEach(async () => await start());

  test("when the repository is full", async () => {
    const storage = new FaultyStorage(site.repository.storage);
    storage.script({ operation: "put", fault: { kind: "fail", code: "storage_full" }, name: /^packs\// });
    const repository = { ...site.repository, storage };
    const { BlobStore } = await import("../../src/repository/blobs/blob-store.ts");
    const store = await BlobStore.load(repository);
    await leaveNode();
    const error = await rejection(site.capture(guest, {}, { repository, store }));
    expect(error).toMatchObject({ code: "storage_full", message: expect.stringContaining(madeGood) as string });
    await expectUntouched();
  });

  test("when the connection to the disks is cut", async () => {
    const executor = whenReading(async () => await qmp.execute("nbd-server-stop"));
    const error = await rejection(site.capture(guest, {}, { executor }));
    expect(error).toMatchObject({ code: expect.stringMatching(/^(vm_failed|source_missing)$/) as string });
    await expectUntouched();
  });

  test("when the guest overwrites more than the scratch space holds; its writes succeed", async () => {
    await qmp.hmp(`qemu-io -d /machine/peripheral/disk1/virtio-backend "write -P 0x11 4M 8M"`);
    const executor = whenReading(async () => {
      await qmp.hmp(`qemu-io -d /machine/peripheral/disk1/virtio-backend "write -P 0x5a 4M 8M"`);
    });
    const error = await rejection(site.capture(guest, { scratch: 2 ** 20 }, { executor }));
    expect(error).toMatchObject({ code: "vm_failed", message: expect.stringContaining("scratch") as string });
    const written = fs.readFileSync(guest.disks[1] ?? "").subarray(4 * 2 ** 20, 12 * 2 ** 20);
    expect(written.equals(Buffer.alloc(8 * 2 ** 20, 0x5a))).toBe(true);
    await expectUntouched();
  });

  test("but not when what it overwrites was never written: that takes no scratch space", async () => {
    const executor = whenReading(async () => {
      await qmp.hmp(`qemu-io -d /machine/peripheral/disk1/virtio-backend "write -P 0x5a 4M 8M"`);
    });
    const { point } = await site.capture(guest, { scratch: 2 ** 20 }, { executor });
    const captured = fs.readFileSync(await site.read(point, "disk/disk1")).subarray(4 * 2 ** 20, 12 * 2 ** 20);
    expect(captured.equals(Buffer.alloc(8 * 2 ** 20))).toBe(true);
  });

  test("when it is cancelled while it reads", async () => {
    const controller = new AbortController();
    const executor = whenReading(() => Promise.resolve(controller.abort()));
    const error = await rejection(site.capture(guest, {}, { executor, signal: controller.signal }));
    expect(error).toMatchObject({ code: "cancelled" });
    await expectUntouched();
  });

  test("when QEMU is killed while it is read", async () => {
    const executor = whenReading(async () => {
      await guest.stop();
    });
    const error = await rejection(site.capture(guest, {}, { executor }));
    expect(error).toMatchObject({ code: expect.stringMatching(/^(vm_|source_)/) as string });
    expect(await site.points()).toEqual([]);
    expect(fs.readdirSync(site.spool)).toEqual([]);
  });
});

describe("refused, with the reason, and untouched", () => {
  const expectRefusal = async (words: string, source: Parameters<VmSite["capture"]>[1] = {}): Promise<void> => {
    const error = await rejection(site.capture(guest, source));
    expect(error).toMatchObject({ code: "vm_refused", message: expect.stringContaining(words) as string });
    expect(await describeGuest(guest, site.spool)).toEqual(before);
  };

  test("a guest that hasn't begun to run, which QEMU wouldn't survive", async () => {
    await start(["-S"]);
    await expectRefusal("its state is `prelaunch`");
    await qmp.execute("cont");
    await guest.ticks(3);
  });

  test("a guest that somebody has paused; but its disks can be captured, and it stays paused", async () => {
    await start();
    await qmp.execute("stop");
    before = await describeGuest(guest, site.spool);
    await expectRefusal("its state is `paused`");
    const { point } = await site.capture(guest, { memory: false });
    expect(point.manifest.machine).toMatchObject({ method: "disks", pause: 0 });
    expect(await describeGuest(guest, site.spool)).toEqual(before);
  });

  test("a disk that isn't there", async () => {
    await start();
    await leaveNode();
    await expectRefusal("no disk named disk7; there are disk0, disk1", { disks: ["disk0", "disk7"] });
    await leaveNode();
    await expectRefusal(madeGood, { disks: ["disk0", "disk7"] });
  });

  test("a guest whose disks somebody else exports", async () => {
    await start();
    const addr = { type: "unix", data: { path: path.join(site.folder, "foreign") } };
    await qmp.execute("nbd-server-start", { addr });
    await qmp.execute("block-export-add", { type: "nbd", id: "foreign", "node-name": "disk0" });
    before = await describeGuest(guest, site.spool);
    await expectRefusal("somebody else exports its disks (foreign)");
  });

  test("a guest with a block job", async () => {
    await start();
    const target = path.join(site.folder, "mirror");
    fs.writeFileSync(target, "");
    fs.truncateSync(target, 16 * 2 ** 20);
    const file = { driver: "file", filename: target };
    await qmp.execute("blockdev-add", { driver: "raw", "node-name": "mirror", file });
    await qmp.execute("blockdev-mirror", { "job-id": "copy", device: "disk1", target: "mirror", sync: "full" });
    // The job goes on meanwhile, so the guest doesn't stay as it is.
    const error = await rejection(site.capture(guest));
    expect(error).toMatchObject({ code: "vm_refused" });
    expect(error).toHaveProperty("message", expect.stringContaining("the block job copy (mirror) is under way"));
  });

  test("a device that writes to memory behind QEMU's back", async () => {
    await start([
      "-object",
      "memory-backend-memfd,id=shm,size=1M,share=on",
      "-device",
      "ivshmem-plain,memdev=shm,id=shared",
    ]);
    await expectRefusal("its device shared (ivshmem-plain)");
  });
});

describe("the guest agent", () => {
  /** Answers as an agent does, and notes what it was told. */
  async function startAgent(freeze: object): Promise<{ socket: string; told: string[]; close: () => void }> {
    const socket = path.join(site.folder, "agent");
    const told: string[] = [];
    const server = net.createServer((connection) => {
      connection.setEncoding("utf8").on("data", (line: string) => {
        const { execute, arguments: given } = JSON.parse(line) as { execute: string; arguments?: { id?: number } };
        told.push(execute);
        const answer = execute === "guest-fsfreeze-freeze" ? freeze : { return: given?.id ?? 1 };
        connection.write(`${JSON.stringify(answer)}\n`);
      });
    });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    server.listen(socket, () => resolve(undefined));
    await promise;
    return { socket, told, close: () => server.close() };
  }

  test("freezes the guest's file systems for the instant, and thaws them", async () => {
    await start();
    const agent = await startAgent({ return: 2 });
    const { point } = await site.capture(guest, { memory: false, guestAgent: agent.socket });
    agent.close();
    expect(point.manifest.consistency).toBe("application");
    expect(agent.told).toEqual(["guest-sync", "guest-fsfreeze-freeze", "guest-fsfreeze-thaw"]);
    const disks = [await site.read(point, "disk/disk0"), await site.read(point, "disk/disk1")];
    expect(contradictions({ disks })).toEqual([]);
    expect(await describeGuest(guest, site.spool)).toEqual(before);
  });

  test("thaws even what it said it could not freeze", async () => {
    await start();
    const agent = await startAgent({ error: { class: "GenericError", desc: "busy" } });
    const error = await rejection(site.capture(guest, { memory: false, guestAgent: agent.socket }));
    agent.close();
    expect(error).toMatchObject({ code: "vm_unreachable", message: expect.stringContaining("busy") as string });
    expect(agent.told.at(-1)).toBe("guest-fsfreeze-thaw");
    await expectUntouched();
  });
});
