import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  blockDeviceSize,
  getXattr,
  listXattrs,
  makeNode,
  readAhead,
  removeXattr,
  seekData,
  seekHole,
  setTimes,
  setXattr,
  syscallsAvailable,
} from "../../src/host/syscalls.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");
const isRoot = process.getuid?.() === 0;

function codeOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : error;
  }
  return "no error";
}

/** A file whose name isn't UTF-8. */
async function tempFile(): Promise<Buffer> {
  const file = Buffer.concat([Buffer.from(`${await tempDir()}/`), bytes("caf\xe9 \xff\n")]);
  fs.writeFileSync(file, "content");
  return file;
}

// The unit tests also run with an older Node, which has no foreign function interface.
describe.skipIf(!syscallsAvailable())("system calls", () => {
  test("attributes that setfattr wrote are read", async () => {
    const folder = await tempDir();
    fs.writeFileSync(`${folder}/a`, "");
    execFileSync("setfattr", ["-n", "user.one", "-v", "0x00ff0a", `${folder}/a`]);
    execFileSync("setfattr", ["-n", "user.two", "-v", "", `${folder}/a`]);
    const file = Buffer.from(`${folder}/a`);
    expect(listXattrs(file).map(String).sort()).toEqual(["user.one", "user.two"]);
    expect(getXattr(file, bytes("user.one"))).toEqual(Buffer.from([0, 255, 10]));
    expect(getXattr(file, bytes("user.two"))).toEqual(Buffer.alloc(0));
  });

  test("attributes that were set are read by getfattr", async () => {
    const folder = await tempDir();
    fs.writeFileSync(`${folder}/a`, "");
    setXattr(Buffer.from(`${folder}/a`), bytes("user.one"), Buffer.from([1, 0, 254]));
    const said = execFileSync("getfattr", ["-d", "-e", "hex", "--absolute-names", `${folder}/a`], { encoding: "utf8" });
    expect(said).toContain("user.one=0x0100fe");
  });

  test("POSIX ACLs come and go as attributes", async () => {
    const folder = await tempDir();
    for (const name of ["a", "b"]) fs.writeFileSync(`${folder}/${name}`, "");
    execFileSync("setfacl", ["-m", "u:65534:r--", `${folder}/a`]);
    const key = bytes("system.posix_acl_access");
    setXattr(Buffer.from(`${folder}/b`), key, getXattr(Buffer.from(`${folder}/a`), key));
    expect(execFileSync("getfacl", ["-ncp", `${folder}/b`], { encoding: "utf8" })).toContain("user:65534:r--");
  });

  test("any value is kept, under a name and on a file that aren't UTF-8", async () => {
    const file = await tempFile();
    const name = bytes("user.\xe9\xff");
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), (value) => {
        setXattr(file, name, Buffer.from(value));
        expect(getXattr(file, name).equals(value)).toBe(true);
      }),
      { numRuns: 50 },
    );
    expect(listXattrs(file)).toEqual([name]);
    removeXattr(file, name);
    expect(listXattrs(file)).toEqual([]);
  });

  test("results don't share memory", async () => {
    const file = await tempFile();
    setXattr(file, bytes("user.a"), bytes("first"));
    const first = getXattr(file, bytes("user.a"));
    setXattr(file, bytes("user.a"), bytes("other"));
    getXattr(file, bytes("user.a"));
    expect(first.toString()).toBe("first");
  });

  test("errors have the errno's name", async () => {
    const file = await tempFile();
    const missing = Buffer.from("/no/such/file");
    expect(codeOf(() => getXattr(file, bytes("user.missing")))).toBe("ENODATA");
    expect(codeOf(() => removeXattr(file, bytes("user.missing")))).toBe("ENODATA");
    expect(codeOf(() => setXattr(file, bytes("nonsense.a"), bytes("")))).toBe("ENOTSUP");
    expect(codeOf(() => listXattrs(missing))).toBe("ENOENT");
    expect(codeOf(() => setTimes(missing, 0n, 0n))).toBe("ENOENT");
    expect(codeOf(() => makeNode(file, fs.constants.S_IFIFO | 0o600, 0n))).toBe("EEXIST");
    expect(codeOf(() => seekData(99_999, 0))).toBe("EBADF");
  });

  test("a null byte doesn't silently name another file", async () => {
    const file = await tempFile();
    const longer = Buffer.concat([file, bytes("\0more")]);
    expect(codeOf(() => listXattrs(longer))).toBe("EINVAL");
    expect(codeOf(() => setTimes(longer, 0n, 0n))).toBe("EINVAL");
    expect(codeOf(() => setXattr(file, bytes("user.a\0b"), bytes("")))).toBe("EINVAL");
    expect(listXattrs(file)).toEqual([]);
  });

  test("times are set to the nanosecond, before 1970 too", async () => {
    const file = await tempFile();
    fc.assert(
      // Well within what ext4 can hold: 1901 to 2446.
      fc.property(fc.bigInt(-2_000_000_000n * 10n ** 9n, 15_000_000_000n * 10n ** 9n), (time) => {
        setTimes(file, time + 1n, time);
        const stats = fs.lstatSync(file, { bigint: true });
        expect([stats.atimeNs, stats.mtimeNs]).toEqual([time + 1n, time]);
      }),
      { examples: [[0n], [-1n], [-(10n ** 9n)], [1_700_000_000_123_456_789n]] },
    );
  });

  test("symbolic links are not followed", async () => {
    const file = await tempFile();
    const link = Buffer.concat([file, bytes("-link")]);
    fs.symlinkSync(file, link);
    const before = fs.statSync(file, { bigint: true }).mtimeNs;
    setTimes(link, 1n, 2n);
    expect(fs.lstatSync(link, { bigint: true }).mtimeNs).toBe(2n);
    expect(fs.statSync(file, { bigint: true }).mtimeNs).toBe(before);
    setXattr(file, bytes("user.a"), bytes("x"));
    expect(listXattrs(link)).toEqual([]);
  });

  test("a FIFO is made", async () => {
    const file = Buffer.from(`${await tempDir()}/fifo`);
    makeNode(file, fs.constants.S_IFIFO | 0o600, 0n);
    expect(fs.lstatSync(file).isFIFO()).toBe(true);
    expect(fs.lstatSync(file).mode & 0o777).toBe(0o600);
  });

  test.skipIf(!isRoot)("a device node is made with its numbers", async () => {
    const file = Buffer.from(`${await tempDir()}/null`);
    const { rdev, mode } = fs.lstatSync("/dev/null", { bigint: true });
    makeNode(file, Number(mode), rdev);
    expect(fs.lstatSync(file, { bigint: true }).rdev).toBe(rdev);
    expect(fs.lstatSync(file).isCharacterDevice()).toBe(true);
    const far = Buffer.from(`${file.toString()}2`);
    // Large numbers, as device mapper and NVMe have them: major 259, minor 1,000,000.
    makeNode(far, fs.constants.S_IFBLK | 0o600, (1_000_000n & 0xffn) | (259n << 8n) | ((1_000_000n & ~0xffn) << 12n));
    expect(execFileSync("stat", ["-c", "%t %T", far.toString()], { encoding: "utf8" }).trim()).toBe("103 f4240");
  });

  test("holes and data are found, beyond 4 GiB too", async () => {
    const file = await tempFile();
    const far = 5 * 2 ** 30;
    const fd = fs.openSync(file, "w+");
    try {
      fs.writeSync(fd, Buffer.alloc(65_536, 1), 0, 65_536, far);
      fs.ftruncateSync(fd, far + 2 ** 20);
      fs.fsyncSync(fd);
      expect(seekData(fd, 0)).toBe(far);
      expect(seekHole(fd, far)).toBe(far + 65_536);
      expect(seekData(fd, far + 65_536)).toBeUndefined();
      expect(seekHole(fd, 0)).toBe(0);
      expect(seekHole(fd, far + 2 ** 20)).toBeUndefined();
    } finally {
      fs.closeSync(fd);
    }
  });

  test("only a block device has a block device's size", async () => {
    const file = await tempFile();
    const fd = fs.openSync(file, "r");
    expect(codeOf(() => blockDeviceSize(fd))).toBe("ENOTTY");
    fs.closeSync(fd);
  });

  test.skipIf(!isRoot || !fs.existsSync("/dev/loop-control"))("the size of a block device", async () => {
    const image = `${await tempDir()}/image`;
    fs.writeFileSync(image, "");
    fs.truncateSync(image, 5 * 2 ** 30 + 512);
    const device = execFileSync("losetup", ["--find", "--show", "--read-only", image], { encoding: "utf8" }).trim();
    try {
      const fd = fs.openSync(device, "r");
      expect(blockDeviceSize(fd)).toBe(5 * 2 ** 30 + 512);
      fs.closeSync(fd);
    } finally {
      execFileSync("losetup", ["--detach", device]);
    }
  });

  test("each thread sees its own errors", async () => {
    const module = new URL("../../src/host/syscalls.ts", import.meta.url).href;
    const script = `
      import { parentPort } from "node:worker_threads";
      const { getXattr, listXattrs } = await import(${JSON.stringify(module)});
      const codes = new Set();
      for (let n = 0; n < 2000; n++) {
        try { n % 2 ? getXattr(Buffer.from("/"), Buffer.from("user.missing")) : listXattrs(Buffer.from("/missing")); }
        catch (error) { codes.add(n % 2 + error.code); }
      }
      parentPort.postMessage([...codes].sort());`;
    const workers = [0, 1].map(() => new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`)));
    const found = await Promise.all(
      workers.map((worker) => {
        const { promise, resolve, reject } = Promise.withResolvers<unknown>();
        worker.once("message", resolve);
        worker.once("error", reject);
        return promise;
      }),
    );
    expect(found).toEqual([
      ["0ENOENT", "1ENODATA"],
      ["0ENOENT", "1ENODATA"],
    ]);
  });
});

test("advice to read ahead is harmless, also where it can't be taken", async () => {
  await using file = await fs.promises.open(import.meta.filename, "r");
  expect(() => readAhead(file.fd, 0, 4096)).not.toThrow();
  expect(() => readAhead(file.fd, 1e9, 4096)).not.toThrow();
  expect(() => readAhead(-1, 0, 4096)).not.toThrow();
});
