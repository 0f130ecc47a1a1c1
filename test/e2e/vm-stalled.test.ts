/** A boot that makes no progress ends, and says why; one that makes little goes on. QEMU is real, and time is the test's. */
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { unlessCancelled } from "../../src/host/cancel.ts";
import { BlobStore } from "../../src/repository/blobs/blob-store.ts";
import type { RecoveryPoint } from "../../src/repository/points/manifest.ts";
import { mayMount } from "../../src/restore/boot/memory-mount.ts";
import { stallLimit } from "../../src/restore/boot/stalled.ts";
import { type StartedBoot, supervise } from "../../src/restore/boot/supervise.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { startCounterGuest } from "../helpers/guest/counter-guest.ts";
import { readSerialCount } from "../helpers/guest/counter-record.ts";
import { waitFor } from "../helpers/guest/qemu.ts";
import { type SaveOptions, saveGuest } from "../helpers/guest/save-guest.ts";
import { VmSite } from "../helpers/guest/vm-site.ts";
import { ManualClock } from "../helpers/manual-clock.ts";
import { tempDir } from "../helpers/temp-dir.ts";

/** A storage whose reads wait until the test lets them go on. */
class HeldStorage {
  readonly storage: Storage;
  /** How many reads are let through; the others wait. */
  free = Number.POSITIVE_INFINITY;
  /** How many have been made. */
  made = 0;
  moved = (): void => undefined;
  readonly #waiting: (() => void)[] = [];

  constructor(inner: Storage) {
    this.storage = {
      location: inner.location,
      put: async (...call) => await inner.put(...call),
      stat: async (...call) => await inner.stat(...call),
      list: (...call) => inner.list(...call),
      delete: async (...call) => await inner.delete(...call),
      get: async (name, range, options = {}) => {
        if (this.free-- <= 0)
          await unlessCancelled(new Promise<void>((resolve) => void this.#waiting.push(resolve)), options.signal);
        const content = await inner.get(name, range, options);
        this.moved();
        this.made += 1;
        return content;
      },
    };
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when the read is made. */
  async letOneGo(): Promise<void> {
    const before = this.made;
    this.#waiting.shift()?.();
    await waitFor("a read", () => this.made > before);
  }
}

interface Setting {
  readonly site: VmSite;
  readonly point: RecoveryPoint;
  readonly held: HeldStorage;
  readonly clock: ManualClock;
  readonly folder: string;
  readonly failures: string[];
}

async function setUp(options?: SaveOptions): Promise<Setting> {
  const site = await VmSite.make();
  const guest = await startCounterGuest({ disks: [{}, { format: "qcow2" }] });
  await guest.ticks(50);
  const point = await saveGuest(site, guest, options);
  await guest.stop();
  const held = new HeldStorage(site.repository.storage);
  const folder = path.join(await tempDir(), "boot");
  fs.mkdirSync(folder);
  return { site, point, held, clock: new ManualClock(), folder, failures: [] };
}

interface Run {
  readonly end: Promise<unknown>;
  readonly stop: AbortController;
  /** Undefined until the machine runs. */
  started: StartedBoot | undefined;
}

/** Ways for a machine to get its memory. */
type Way = "mapped" | "postcopy" | "loaded" | "cold";

function boot({ site, point, held, clock, folder, failures }: Setting, way: Way): Run {
  // Where nothing may be mounted.
  if (way === "loaded") {
    const user = vi.spyOn(process, "geteuid").mockReturnValue(65534);
    onTestFinished(() => user.mockRestore());
  }
  const stop = new AbortController();
  const repository = { ...site.repository, storage: held.storage };
  const run: Run = { stop, started: undefined, end: Promise.resolve() };
  const end = supervise({
    folder,
    keep: false,
    stay: way === "postcopy",
    cold: way === "cold",
    paused: false,
    network: "isolated",
    started: new Date(),
    clock,
    signal: stop.signal,
    onFailure: (message) => {
      failures.push(message);
      fs.appendFileSync(path.join(folder, "boot.log"), `stillpoint: ${message}\n`);
    },
    onProgress: () => undefined,
    open: async (moved, signal) => {
      held.moved = moved;
      return { repository, store: await BlobStore.load(repository, { signal }), point };
    },
    onReady: (started) => {
      run.started = started;
    },
  }).catch((error: unknown) => error);
  return Object.assign(run, { end });
}

function expectNothingLeft({ site, folder, point }: Setting): void {
  expect(fs.existsSync(folder)).toBe(false);
  expect(fs.readFileSync("/proc/mounts", "utf8")).not.toContain(folder);
  expect(commandLines().filter((line) => line.includes(folder))).toEqual([]);
  const notices = path.join(site.folder, "repository", "readers", point.id);
  expect(fs.existsSync(notices) ? fs.readdirSync(notices) : []).toEqual([]);
}

function commandLines(): string[] {
  const pids = fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map((pid) => {
    try {
      return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8");
    } catch {
      return "";
    }
  });
}

const ways: readonly Way[] = mayMount() ? ["mapped", "postcopy", "loaded", "cold"] : ["loaded", "cold"];

describe.each(ways)("a machine whose memory is to come %s", (way) => {
  test("from a storage that has stopped answering isn't waited for for ever", async () => {
    const setting = await setUp();
    const { held, clock } = setting;
    // A cold one reads its first sector only when it runs: it stands still before its repository is open.
    held.free = way === "cold" ? 0 : 13;
    const run = boot(setting, way);
    let ended = false;
    void run.end.then(() => (ended = true));
    await waitFor("a read", () => held.waiting > 0);
    if (way !== "cold") await waitFor("QEMU", () => commandLines().some((line) => line.includes(setting.folder)));
    await clock.advance(stallLimit - 1);
    expect([run.started, ended]).toEqual([undefined, false]);
    // By then reads that were let through, and QEMU, may have got on once more.
    await waitFor("the end", async () => {
      await clock.advance(stallLimit);
      return ended;
    });
    const error = await run.end;
    expect(error).toMatchObject({ code: "boot_failed" });
    expect(String(error)).toMatch(
      /nothing has moved for 5 minutes .*untouched, and nothing of the attempt is left here/,
    );
    expectNothingLeft(setting);
  });

  test("from a slow storage runs in the end, however long that takes", async () => {
    const setting = await setUp();
    const { held, clock } = setting;
    held.free = 0;
    const run = boot(setting, way);
    let ended = false;
    void run.end.then(() => (ended = true));
    const next = (): boolean => held.waiting > 0 || run.started !== undefined || ended;
    let steps = 0;
    while (run.started === undefined) {
      await waitFor("a read, or the machine", next);
      if (ended) throw new Error(String(await run.end));
      await clock.advance(0.9 * stallLimit);
      if (held.waiting > 0) await held.letOneGo();
      steps += 1;
    }
    expect(steps).toBeGreaterThan(5);
    held.free = Number.POSITIVE_INFINITY;
    while (held.waiting > 0) await held.letOneGo();
    const { serial } = run.started;
    await waitFor("the machine to count", () => readSerialCount(serial[0] ?? "") > 0);
    // No limit is left behind.
    await clock.advance(2 * stallLimit);
    expect(ended).toBe(false);
    run.stop.abort();
    expect(await run.end).toBeUndefined();
    expectNothingLeft(setting);
  });
});

test("a QEMU that never says anything by QMP isn't waited for for ever, and its own words are told", async () => {
  const program = path.join(await tempDir(), "qemu");
  fs.writeFileSync(program, "#!/bin/sh\necho the last words of it >&2\nexec sleep 1000\n", { mode: 0o755 });
  const setting = await setUp({ change: (machine) => ({ ...machine, qemu: { ...machine.qemu, binary: program } }) });
  const run = boot(setting, "mapped");
  const log = path.join(setting.folder, "boot.log");
  await waitFor("its words", () => fs.existsSync(log) && fs.readFileSync(log, "utf8").includes("last words"));
  await setting.clock.advance(2 * stallLimit);
  const error = await run.end;
  expect(error).toMatchObject({ code: "boot_failed" });
  expect(String(error)).toContain("5 minutes while QEMU was started, saying: the last words of it. The recovery point");
  expectNothingLeft(setting);
});
