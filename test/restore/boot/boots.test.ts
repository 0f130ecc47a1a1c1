import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import * as path from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { isStillpointError } from "../../../src/errors.ts";
import { describeProcess } from "../../../src/qemu/qmp-peer.ts";
import {
  type BootPaths,
  makeBootFolder,
  pathsOf,
  type ProcessName,
  writeRecord,
} from "../../../src/restore/boot/boot-folder.ts";
import { clearDeadBoots, findBoot, listBoots, stopBoot } from "../../../src/restore/boot/boots.ts";
import { rejection } from "../../helpers/rejection.ts";
import { tempDir } from "../../helpers/temp-dir.ts";

/** A process that ends when it is asked to. */
async function sleeper(): Promise<{ child: ChildProcess; name: ProcessName }> {
  const child = spawn("sleep", ["600"], { stdio: "ignore" });
  await once(child, "spawn");
  onTestFinished(() => void child.kill("SIGKILL"));
  const { pid = 0 } = child;
  return { child, name: { pid, startTime: (await describeProcess(pid))?.startTime ?? "" } };
}

const gone: ProcessName = { pid: 2 ** 22 - 1, startTime: "1" };

interface Wanted {
  readonly supervisor?: ProcessName;
  readonly qemu?: ProcessName | null;
  readonly keep?: boolean;
  readonly settled?: boolean | null;
  readonly started?: string;
}

async function made(
  base: string,
  { supervisor = gone, qemu = null, keep = false, settled = null, started }: Wanted,
): Promise<BootPaths> {
  const paths = pathsOf(await makeBootFolder(base));
  await writeRecord(paths, {
    version: 1,
    boot: path.basename(paths.folder),
    id: "12".repeat(16),
    source: "web",
    started: started ?? "2026-11-22T10:00:00.000Z",
    keep,
    settled,
    supervisor,
    qemu,
    serial: [],
  });
  await fs.writeFile(path.join(paths.folder, "disk0.qcow2"), "written");
  return paths;
}

describe("boots", () => {
  it("are listed, the oldest first, with what they are", async () => {
    const base = await tempDir();
    const { name } = await sleeper();
    const running = await made(base, { supervisor: name, qemu: name, started: "2026-11-22T12:00:00.000Z" });
    const starting = await made(base, { supervisor: name, started: "2026-11-22T11:00:00.000Z" });
    const ended = await made(base, { qemu: gone, keep: true });
    await fs.mkdir(path.join(base, "0badc0de"));
    await fs.writeFile(path.join(base, "0badc0de", "boot.json"), '{"version":1,"boot":"../../etc"');
    await fs.mkdir(path.join(base, "something else"));
    expect((await listBoots(base)).map(({ paths, state }) => [paths.folder, state])).toEqual([
      [ended.folder, "ended"],
      [starting.folder, "starting"],
      [running.folder, "running"],
    ]);
    expect(await listBoots(path.join(base, "nowhere"))).toEqual([]);
  });

  it("that are to stay say how far they are, and stay until they are stopped", async () => {
    const base = await tempDir();
    const [supervisor, ...machines] = [await sleeper(), await sleeper(), await sleeper(), await sleeper()];
    const [settling, settled, lost] = machines.map(({ name }) => name);
    const wanted: Readonly<Record<string, Wanted>> = {
      settling: { supervisor: supervisor.name, qemu: settling ?? null, settled: false },
      settled: { qemu: settled ?? null, settled: true },
      lost: { qemu: lost ?? null, settled: false },
      ended: { qemu: gone, settled: true },
      // The number of the process that has left it to itself was given out again, at whatever time.
      "ended again": { supervisor: supervisor.name, qemu: gone, settled: true },
    };
    for (const one of Object.values(wanted)) await made(base, one);
    await clearDeadBoots(base);
    const listed = await listBoots(base);
    const states = Object.keys(wanted).map((name) => name.split(" ")[0] ?? "");
    expect(listed.map(({ state }) => state).toSorted()).toEqual(states.toSorted());
    // That one has ended is known in /proc a moment before its parent is told.
    const ends = Promise.all(machines.map(({ child }) => once(child, "exit")));
    for (const boot of listed.filter(({ state }) => state !== "ended")) await stopBoot(boot);
    await ends;
    expect(machines.map(({ child }) => child.signalCode)).toEqual([
      "SIGTERM",
      "SIGTERM",
      expect.stringMatching(/^SIG(KILL|TERM)$/),
    ]);
    expect((await listBoots(base)).map(({ state }) => state)).toEqual(["ended", "ended"]);
  });

  it("are found by the beginning of their names", async () => {
    const base = await tempDir();
    const { folder } = await made(base, {});
    await made(base, {});
    expect((await findBoot(base, path.basename(folder).toUpperCase())).paths.folder).toBe(folder);
    expect(isStillpointError(await rejection(findBoot(base, "")), "not_found")).toBe(true);
    expect((await rejection(findBoot(base, "xyz"))).message).toContain('no boot whose name begins with "xyz"');
  });

  it("whose supervisor was killed are cleared away with their QEMU, but not what was to be kept", async () => {
    const base = await tempDir();
    const { child, name } = await sleeper();
    const dead = await made(base, { qemu: name });
    const kept = await made(base, { keep: true });
    const other = await sleeper();
    const running = await made(base, { supervisor: other.name, qemu: other.name });
    // A process of another start time has only taken over the number.
    const reused = await made(base, { qemu: { ...other.name, startTime: "1" } });
    const ended = once(child, "exit");
    await clearDeadBoots(base);
    await ended;
    expect(child.signalCode).toBe("SIGKILL");
    expect(other.child.signalCode).toBeNull();
    const left = await fs.readdir(base);
    expect(new Set(left)).toEqual(new Set([kept, running].map(({ folder }) => path.basename(folder))));
    expect(left).not.toContain(path.basename(dead.folder));
    expect(left).not.toContain(path.basename(reused.folder));
  });

  it("are stopped by asking the supervisor, and what it left is cleared away", async () => {
    const base = await tempDir();
    const { child, name } = await sleeper();
    const { folder } = await made(base, { supervisor: name, qemu: name });
    const ended = once(child, "exit");
    await stopBoot(await findBoot(base, path.basename(folder)));
    await ended;
    expect(child.signalCode).toBe("SIGTERM");
    expect(await fs.readdir(base)).toEqual([]);
  });

  it("that have ended and were kept are removed when they are stopped once more", async () => {
    const base = await tempDir();
    const { folder } = await made(base, { keep: true });
    await stopBoot(await findBoot(base, path.basename(folder)));
    expect(await fs.readdir(base)).toEqual([]);
  });
});

describe("the folder of a boot", () => {
  it("is for this user only, and another each time", async () => {
    const base = path.join(await tempDir(), "state", "boots");
    const folders = [await makeBootFolder(base), await makeBootFolder(base)];
    expect(folders[0]).not.toBe(folders[1]);
    for (const folder of folders) expect((await fs.stat(folder)).mode & 0o777).toBe(0o700);
  });

  it("can't be so deep that no socket fits", async () => {
    const error = await rejection(makeBootFolder(path.join(await tempDir(), "d".repeat(90))));
    expect(isStillpointError(error, "target_failed")).toBe(true);
    expect(error.message).toContain("--state");
  });
});
