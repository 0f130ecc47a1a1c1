/** A recovery point of a guest, made by hand: stopped, its disks read, its state saved, and all of it stored. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { captureMemory } from "../../../src/capture/vm/memory/capture-memory.ts";
import { Spool, spoolSize } from "../../../src/capture/vm/memory/spool.ts";
import { captureImage } from "../../../src/capture/image/capture-image.ts";
import { parseStream } from "../../../src/qemu/stream/parse-stream.ts";
import { findQemu } from "../../../src/qemu/qmp-peer.ts";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { commitPoint } from "../../../src/repository/points/catalog.ts";
import type { Machine } from "../../../src/repository/points/machine.ts";
import type { Part, RecoveryPoint } from "../../../src/repository/points/manifest.ts";
import { captureContext } from "../capture-context.ts";
import type { TestRepository } from "../repository.ts";
import { type Guest, waitFor } from "./qemu.ts";

export interface SaveOptions {
  /** Whether RAM and devices are saved; by default they are. */
  readonly memory?: boolean;
  /** By `background-snapshot`, or as a migration of a stopped machine. */
  readonly background?: boolean;
  readonly change?: (machine: Machine) => Machine;
}

interface Block {
  readonly device: string;
  readonly qdev?: string;
  readonly inserted?: {
    readonly "node-name": string;
    readonly drv: string;
    readonly ro: boolean;
    readonly image: { readonly filename: string; readonly "virtual-size": number };
  };
}

/** The guest goes on afterwards. */
export async function saveGuest(
  { repository }: Pick<TestRepository, "repository">,
  guest: Guest,
  options: SaveOptions = {},
): Promise<RecoveryPoint> {
  const { memory: withMemory = true, background = true, change = (machine) => machine } = options;
  await using qmp = await Qmp.connect(guest.qmp, { timeout: 60_000 });
  const context = await captureContext(repository);
  const { session } = context;
  const parts: Part[] = [];
  await qmp.execute("stop");
  const disks: Machine["disks"] = [];
  for (const { device, qdev = "", inserted } of await qmp.execute<readonly Block[]>("query-block")) {
    // A drive without a device is nothing that the guest sees.
    if (inserted === undefined || qdev === "") continue;
    const name = (device === "" ? qdev.replace(/^\/machine\/peripheral\//, "").split("/")[0] : device) ?? "disk";
    const raw = path.join(guest.folder, `${name}.copy`);
    execFileSync("qemu-img", ["convert", "-U", "-O", "raw", inserted.image.filename, raw]);
    const [image] = (await captureImage(context, { path: raw })).parts;
    if (image !== undefined) parts.push({ ...image, name: `disk/${name}` });
    fs.unlinkSync(raw);
    disks.push({
      name,
      part: `disk/${name}`,
      device: qdev,
      node: inserted["node-name"],
      file: inserted.image.filename,
      format: inserted.drv,
      size: inserted.image["virtual-size"],
      read_only: inserted.ro,
      read: 0,
      bitmap: null,
    });
  }
  const peer = await findQemu(guest.qmp);
  let memory: Machine["memory"] = null;
  if (withMemory) {
    const capability = (state: boolean) => ({ capabilities: [{ capability: "background-snapshot", state }] });
    if (background) await qmp.execute("migrate-set-capabilities", capability(true));
    const spool = await Spool.reserve({
      folder: guest.folder,
      size: spoolSize(128 * 1024 * 1024),
      process: peer,
      version: qmp.version,
    });
    await qmp.execute("migrate", { uri: spool.uri });
    await waitFor("the save", async () => {
      const { status } = await qmp.execute<{ readonly status: string }>("query-migrate");
      if (status === "failed") throw new Error("QEMU failed to save the guest");
      return status === "completed";
    });
    if (background) await qmp.execute("migrate-set-capabilities", capability(false));
    const captured = await captureMemory(context, spool, await parseStream(spool.path), () => undefined);
    await spool.release();
    parts.push(...captured.parts);
    memory = captured.memory;
  }
  await qmp.execute("cont").catch(() => undefined);
  const type = await qmp.execute<string>("qom-get", { path: "/machine", property: "type" });
  const machine: Machine = {
    qemu: { version: `${qmp.version.major}.${qmp.version.minor}.${qmp.version.micro}`, binary: guest.argv[0] ?? "" },
    type: type.replace(/-machine$/, ""),
    command: [...peer.command],
    folder: peer.folder,
    pause: 0,
    method: withMemory ? "stopped" : "disks",
    memory,
    disks,
    files: [],
    networks: [],
  };
  const statistics = await session.finish();
  await session.close();
  const time = new Date(repository.clock.now()).toISOString();
  return await commitPoint(repository, {
    version: 1,
    repository: repository.keys.repositoryId,
    source: "guest",
    policy: "test",
    host: "test",
    kind: "vm",
    time,
    started: time,
    finished: time,
    consistency: withMemory ? "full-state" : "crash",
    parts,
    previous: null,
    tags: [],
    statistics: { size: 0, read: 0, new: statistics.newBytes, stored: statistics.storedBytes },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "test", node: "test", kernel: "test" },
    machine: change(machine),
  });
}
