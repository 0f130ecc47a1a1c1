import * as fs from "node:fs";
import { describe, expect, it } from "vitest";
import type { DiskBytes } from "../../../src/restore/disks/disk-bytes.ts";
import { withChanges } from "../../../src/restore/disks/disk-bytes.ts";
import { diskFile, runOnDisk, type ToolOptions } from "../../../src/restore/disks/disk-tool.ts";
import { mayMount } from "../../../src/restore/mount/file-server.ts";
import { collect } from "../../helpers/collect.ts";
import { rejection } from "../../helpers/rejection.ts";

const content = Buffer.alloc(300_000, "what is on the disk ");
const disk: DiskBytes = {
  size: content.length,
  read: async (offset, length) => await Promise.resolve(content.subarray(offset, offset + length)),
};

async function output(argv: readonly string[], options: Partial<ToolOptions> = {}, on = disk): Promise<Buffer> {
  return Buffer.concat(await collect(runOnDisk(on, { argv, timeout: 20_000, ...options })));
}

describe.runIf(mayMount())("a program that reads a disk", () => {
  it("sees all of it, streamed or collected, and nobody else sees anything", async () => {
    expect((await output(["cat", diskFile])).equals(content)).toBe(true);
    expect((await output(["cat", diskFile], { collect: true })).equals(content)).toBe(true);
    expect(fs.existsSync(diskFile)).toBe(false);
  });

  it("has no rights, no network and no more memory than it may", async () => {
    const status = (await output(["cat", "/proc/self/status"])).toString();
    expect(status).toMatch(/^Uid:(\s+65534){4}$/m);
    expect(status).toMatch(/^Gid:(\s+65534){4}$/m);
    expect(status).toMatch(/^Groups:\s*$/m);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^CapBnd:\s+0+$/m);
    expect(status).toMatch(/^NoNewPrivs:\s+1$/m);
    expect((await output(["cat", "/proc/net/route"])).toString().trim().split("\n").length).toBeLessThan(2);
    expect((await output(["cat", "/proc/self/limits"])).toString()).toMatch(/^Max address space +4294967296 /m);
  });

  it("writes into memory, where it may, and never to the disk", async () => {
    const write = [
      "dd",
      "if=/proc/self/comm",
      `of=${diskFile}`,
      "conv=notrunc",
      "bs=1",
      "count=2",
      "seek=5000",
      "status=none",
    ];
    expect((await rejection(output(write))).message).toContain("Read-only file system");
    const changed = withChanges(disk, 1024 * 1024);
    await output(write, {}, changed);
    const expected = Buffer.from(content);
    expected.write("dd", 5000);
    expect((await output(["cat", diskFile], {}, changed)).equals(expected)).toBe(true);
  });

  it("is ended when its time is up, or the work is cancelled", async () => {
    expect(await rejection(output(["sleep", "100"], { timeout: 300 }))).toMatchObject({
      code: "disk_unreadable",
      message: expect.stringContaining("longer than 0.3 s") as string,
    });
    const signal = AbortSignal.timeout(300);
    expect(await rejection(output(["sleep", "100"], { signal }))).toMatchObject({ code: "cancelled" });
  });

  it("is told of an error of input and output, and this process of the reason", async () => {
    const broken: DiskBytes = { ...disk, read: () => Promise.reject(new Error("the blob is lost")) };
    for (const argv of [
      ["cat", diskFile],
      ["sh", "-c", `cat ${diskFile}; true`],
    ])
      expect((await rejection(output(argv, {}, broken))).message).toBe("the blob is lost");
  });

  it("that fails is quoted, without what could steer a terminal", async () => {
    const failing = await rejection(output(["sh", "-c", "printf 'no\\033[2J good' >&2; exit 3"]));
    expect(failing).toMatchObject({ code: "disk_unreadable" });
    expect(failing.message).toMatch(/exit status 3, saying: no\\u\{1b\}\[2J good\. `stillpoint serve`/);
  });
});
