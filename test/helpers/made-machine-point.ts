/** A recovery point of a virtual machine that never ran: made-up disks, and a made-up stream for its state. */
import * as fs from "node:fs";
import * as path from "node:path";
import { captureImage } from "../../src/capture/image/capture-image.ts";
import { captureMemory } from "../../src/capture/vm/memory/capture-memory.ts";
import { storeStream } from "../../src/capture/stream/store-stream.ts";
import { parseStream } from "../../src/qemu/stream/parse-stream.ts";
import { commitPoint } from "../../src/repository/points/catalog.ts";
import type { Machine } from "../../src/repository/points/machine.ts";
import type { Manifest, Part, RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { captureContext } from "./capture-context.ts";
import type { TestRepository } from "./repository.ts";
import { tempDir } from "./temp-dir.ts";

export interface MadePoint {
  readonly command?: string;
  /** Content by the name of the disk. */
  readonly disks?: Readonly<Record<string, Buffer>>;
  /** What QEMU would have saved. */
  readonly stream?: Buffer;
  readonly files?: Readonly<Record<string, Buffer>>;
  readonly machine?: Partial<Machine>;
  /** The last word on the manifest. */
  readonly change?: (manifest: Manifest) => Manifest;
}

export async function makeMachinePoint(
  { repository }: Pick<TestRepository, "repository">,
  made: MadePoint,
): Promise<RecoveryPoint> {
  const { command = "-nodefaults", disks = {}, files = {}, stream, change = (manifest) => manifest } = made;
  const folder = await tempDir();
  const context = await captureContext(repository);
  const { session } = context;
  const parts: Part[] = [];
  for (const [name, content] of Object.entries(disks)) {
    fs.writeFileSync(path.join(folder, "image"), content);
    for (const part of (await captureImage(context, { path: path.join(folder, "image") })).parts)
      if (part.kind === "image") parts.push({ ...part, name: `disk/${name}` });
  }
  for (const [number, content] of Object.values(files).entries()) {
    const source = (async function* () {
      yield await Promise.resolve(content);
    })();
    parts.push({ name: `file/${number}`, kind: "stream", ...(await storeStream(session, source)) });
  }
  let memory: Machine["memory"] = null;
  if (stream !== undefined) {
    const file = path.join(folder, "spool");
    fs.writeFileSync(file, stream);
    const captured = await captureMemory(context, { path: file }, await parseStream(file), () => undefined);
    parts.push(...captured.parts);
    memory = captured.memory;
  }
  await session.finish();
  await session.close();
  const time = new Date(repository.clock.now()).toISOString();
  const machine: Machine = {
    qemu: { version: "7.2.22", binary: "/usr/bin/qemu-system-x86_64" },
    type: "pc-i440fx-7.2",
    command: ["qemu", ...command.split(" ")],
    folder: "/",
    pause: 0,
    method: "background",
    memory,
    disks: Object.entries(disks).map(([name, { length }]) => ({
      name,
      part: `disk/${name}`,
      device: "",
      node: "",
      file: `/images/${name}`,
      format: "raw",
      size: length,
      read_only: false,
      read: 0,
      bitmap: null,
    })),
    files: Object.keys(files).map((option) => ({ option, path: "/file" })),
    networks: [],
    ...made.machine,
  };
  const manifest: Manifest = {
    version: 1,
    repository: repository.keys.repositoryId,
    source: "machine",
    policy: "test",
    host: "test",
    kind: "vm",
    time,
    started: time,
    finished: time,
    consistency: "full-state",
    parts,
    previous: null,
    tags: [],
    statistics: { size: 0, read: 0, new: 0, stored: 0 },
    left_out: [],
    left_out_count: 0,
    software: { stillpoint: "test", node: "test", kernel: "test" },
    machine,
  };
  return await commitPoint(repository, change(manifest));
}
