/** What only a real server shows: OpenSSH's, with what its administrator may have switched off, and with what may befall it. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { isStillpointError } from "../../../../src/errors.ts";
import { systemClock } from "../../../../src/host/clock.ts";
import { openProgramPipe } from "../../../../src/host/program-pipe.ts";
import { systemRandom } from "../../../../src/host/random.ts";
import { createSftpStorage } from "../../../../src/storage/drivers/sftp/create-sftp-storage.ts";
import { withRetry } from "../../../../src/storage/wrappers/retry.ts";
import { storageContract } from "../../../contract/storage-contract.ts";
import { collect } from "../../../helpers/collect.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { connectTo, localServer, sftpServer } from "../../../helpers/sftp.ts";
import { tempDir } from "../../../helpers/temp-dir.ts";

const text = (content: string): Buffer[] => [Buffer.from(content)];
const namesIn = async (storage: { list(prefix: string): AsyncIterable<{ name: string }> }): Promise<string[]> =>
  (await collect(storage.list(""))).map(({ name }) => name).sort();

storageContract("sftp to a server without fsync, limits and statvfs", async () => {
  return (await localServer({ args: ["-P", "fsync,limits,statvfs"] })).storage;
});

describe("an object", () => {
  test("is a file that only its owner can read and nobody writes into; nothing else is left", async () => {
    const { storage, root } = await localServer();
    await storage.put("packs/ab/one", text("content"));
    expect(statSync(`${root}/packs/ab/one`).mode & 0o777).toBe(0o400);
    expect(statSync(`${root}/packs/ab`).mode & 0o777).toBe(0o700);
    expect(readdirSync(`${root}/tmp`)).toEqual([]);
  });

  test("of many megabytes and many pieces comes back the same", async () => {
    const { storage } = await localServer();
    const pieces = Array.from({ length: 40 }, (_, n) => randomBytes(n % 3 === 0 ? 700_001 : 13));
    await storage.put("large", pieces);
    const whole = Buffer.concat(pieces);
    expect((await storage.get("large")).equals(whole)).toBe(true);
    const range = { offset: 261_119, length: 5_000_003 };
    expect((await storage.get("large", range)).equals(whole.subarray(range.offset, range.offset + range.length))).toBe(
      true,
    );
  });

  test("at the end of a long line is read by several connections, in pieces", async () => {
    let time = 0;
    const clock = { ...systemClock, monotonic: () => (time += 50) };
    const { storage, pipes } = await localServer({ clock, connections: 6 });
    const content = randomBytes(9_000_001);
    await storage.put("packs/one", [content]);
    expect(pipes).toHaveLength(1);
    const range = { offset: 1, length: 8_999_999 };
    const read = await storage.get("packs/one", range);
    expect(read.equals(content.subarray(range.offset, range.offset + range.length))).toBe(true);
    expect(pipes).toHaveLength(4);
    const beyond = rejection(storage.get("packs/one", { offset: 1, length: 9_000_001 }));
    expect(String(await beyond)).toContain("it has only");
    expect(await rejection(storage.get("packs/none", range))).toMatchObject({ code: "object_missing" });
    expect((await storage.get("packs/one", { offset: 7, length: 0 })).length).toBe(0);
  });

  test("has a time of the server's clock", async () => {
    const { storage, root } = await localServer();
    await storage.put("a", text("a"));
    utimesSync(`${root}/a`, 1, 2_000_000_000);
    expect(await storage.stat("a")).toMatchObject({ time: 2_000_000_000_000 });
  });
});

describe("a server that lets this user add objects, and nothing else", () => {
  const args = [
    "-p",
    "open,close,read,write,lstat,stat,fstat,opendir,readdir,mkdir,realpath,fsync,statvfs,limits,hardlink",
  ];

  test("takes new objects, and the same ones again", async () => {
    const { storage, root } = await localServer({ args });
    for (const time of ["once", "again"]) {
      await storage.put("packs/ab/one", text("content"));
      expect([time, (await storage.get("packs/ab/one")).toString()]).toEqual([time, "content"]);
    }
    await storage.put("packs/ab/two", text("more"));
    expect(await namesIn(storage)).toEqual(["packs/ab/one", "packs/ab/two"]);
    // What can't be deleted stays for the server's administrator: second names of the objects, and one complete file.
    expect(readdirSync(`${root}/tmp`)).toHaveLength(3);
  });

  test("refuses to replace or delete one, and says which", async () => {
    const { storage } = await localServer({ args });
    await storage.put("a", text("content"));
    for (const other of ["conten", "content!", "CONTENT"]) {
      const error = await rejection(storage.put("a", text(other)));
      expect(error).toMatchObject({ code: "storage_denied" });
      expect(String(error)).toContain("Cannot replace a in replica");
    }
    expect(await rejection(storage.delete("a"))).toMatchObject({ code: "storage_denied" });
    expect((await storage.get("a")).toString()).toBe("content");
  });
});

test("a server that can neither rename over a file nor link isn't written to, but read", async () => {
  const { storage, root } = await localServer({ args: ["-P", "posix-rename,hardlink"] });
  const error = await rejection(storage.put("a", text("a")));
  expect(error).toMatchObject({ code: "storage_denied", retryable: false });
  expect(error.message).toContain("neither posix-rename@openssh.com nor hardlink@openssh.com");
  expect(readdirSync(`${root}/tmp`)).toEqual([]);
  writeFileSync(`${root}/b`, "b");
  expect((await storage.get("b")).toString()).toBe("b");
});

test("a server that only lets read refuses every change", async () => {
  const { storage, root } = await localServer({ args: ["-R"] });
  writeFileSync(`${root}/a`, "a");
  expect(await rejection(storage.put("b", text("b")))).toMatchObject({ code: "storage_denied" });
  expect(await rejection(storage.delete("a"))).toMatchObject({ code: "storage_denied" });
  expect((await storage.get("a")).toString()).toBe("a");
});

describe("a folder", () => {
  test("that was made once and has vanished is an error, never an empty storage or a new one", async () => {
    const { storage, root } = await localServer();
    await storage.put("points/a", text("a"));
    renameSync(root, `${root}-gone`);
    const calls = [() => storage.get("points/a"), () => storage.stat("x"), () => storage.delete("points/a")];
    for (const work of [...calls, () => namesIn(storage), () => storage.put("points/b", text("b"))]) {
      expect(await rejection(work())).toMatchObject({ code: "storage_unreachable" });
    }
    expect(existsSync(root)).toBe(false);
    // The mount point of a disk that isn't there.
    mkdirSync(root);
    for (const work of [...calls, () => namesIn(storage), () => storage.put("points/b", text("b"))]) {
      expect(await rejection(work())).toMatchObject({ code: "storage_unreachable" });
    }
    expect(readdirSync(root)).toEqual([]);
    rmSync(root, { recursive: true });
    renameSync(`${root}-gone`, root);
    expect((await storage.get("points/a")).toString()).toBe("a");
  });

  test("inside that vanished is made again", async () => {
    const { storage, root } = await localServer();
    await storage.put("points/a", text("a"));
    rmSync(`${root}/points`, { recursive: true });
    await withRetry(storage, { clock: systemClock, random: systemRandom }).put("points/b", text("b"));
    expect(await namesIn(storage)).toEqual(["points/b"]);
  });

  test("above a new storage must be there", async () => {
    const folder = await tempDir();
    const connect = async () => await connectTo(openProgramPipe([sftpServer]));
    const error = await rejection(createSftpStorage({ location: "far", path: `${folder}/a/b`, connect }));
    expect(error).toMatchObject({ code: "storage_unreachable" });
    await createSftpStorage({ location: "far", path: `${folder}/a`, connect });
    await createSftpStorage({ location: "far", path: `${folder}/a/`, connect });
    expect(readdirSync(`${folder}/a`)).toEqual(["tmp"]);
  });

  test("may be relative to where the server puts the user", async () => {
    const folder = await tempDir();
    const { storage } = await localServer({ args: ["-d", folder], root: "deep", made: true });
    expect(await rejection(storage.get("a"))).toMatchObject({ code: "storage_unreachable" });
    mkdirSync(`${folder}/deep/tmp`, { recursive: true });
    await storage.put("a", text("a"));
    expect(readdirSync(`${folder}/deep`).sort()).toEqual(["a", "tmp"]);
  });

  test("with a symbolic link in it isn't listed as if nothing were amiss", async () => {
    const { storage, root } = await localServer();
    symlinkSync("/etc/passwd", `${root}/link`);
    expect(String(await rejection(namesIn(storage)))).toContain(`${root}/link is neither`);
  });

  test("with other things in it lists the objects", async () => {
    const { storage, root } = await localServer();
    await storage.put("a", text("a"));
    mkdirSync(`${root}/lost+found`);
    writeFileSync(`${root}/a file with blanks`, "");
    expect(await namesIn(storage)).toEqual(["a"]);
  });

  test.skipIf(process.getuid?.() === 0)("without rights is denied", async () => {
    const { storage, root } = await localServer();
    await storage.put("points/a", text("a"));
    chmodSync(`${root}/points`, 0);
    expect(await rejection(storage.get("points/a"))).toMatchObject({ code: "storage_denied" });
    chmodSync(`${root}/points`, 0o700);
  });
});

test("what killed writers have left goes after a day, and nothing else does", async () => {
  const { storage, root } = await localServer();
  const leftover = `.stillpoint-${"0".repeat(32)}.tmp`;
  const young = `.stillpoint-${"1".repeat(32)}.tmp`;
  for (const name of [leftover, young, "mine.tmp"]) writeFileSync(`${root}/tmp/${name}`, "");
  for (const name of [leftover, "mine.tmp"]) utimesSync(`${root}/tmp/${name}`, 1, Date.now() / 1000 - 90_000);
  await storage.put("a", text("a"));
  expect(readdirSync(`${root}/tmp`).sort()).toEqual([young, "mine.tmp"]);
});

describe("a connection that is lost", () => {
  test("fails what was under way, and the next call makes another", async () => {
    const { storage, pipes } = await localServer();
    await storage.put("a", text("a"));
    pipes[0]?.kill();
    await pipes[0]?.ended;
    expect((await storage.get("a")).toString()).toBe("a");
    expect(pipes).toHaveLength(2);
  });

  test("amid anything loses nothing that was acknowledged, and leaves nothing half", async () => {
    const { storage, pipes, root } = await localServer();
    const retried = withRetry(storage, { clock: systemClock, random: systemRandom, firstDelay: 1, attempts: 50 });
    const content = (n: number): Buffer => Buffer.alloc(400_000, n);
    const work = async (n: number): Promise<void> => {
      await retried.put(`packs/${n % 3}/${n}`, [content(n)]);
      expect((await retried.get(`packs/${n % 3}/${n}`)).equals(content(n))).toBe(true);
    };
    const kill = async (): Promise<void> => {
      for (let n = 0; n < 25; n++) {
        await systemClock.sleep(5 + ((n * 7) % 30));
        pipes.at(-1)?.kill();
      }
    };
    await Promise.all([kill(), ...Array.from({ length: 12 }, (_, n) => work(n))]);
    expect(pipes.length).toBeGreaterThan(2);
    expect(await collect(retried.list("packs/"))).toHaveLength(12);
    for (const name of readdirSync(`${root}/tmp`)) expect(name).toMatch(/^\.stillpoint-[0-9a-f]{32}\.tmp$/);
  });

  test("after any number of bytes gives an error of the contract, and no hang", async () => {
    const { root } = await localServer();
    for (let bytes = 0; bytes < 1200; bytes += 61) {
      const { storage } = await localServer({ cutAfter: bytes, root, made: true });
      const calls = [storage.put("packs/a", text("a")), storage.get("packs/a"), collect(storage.list(""))];
      const outcomes = await Promise.allSettled(calls);
      const reasons = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
      expect(reasons.filter((reason) => !isStillpointError(reason))).toEqual([]);
    }
  });

  test("a program that isn't there is named", async () => {
    const { storage } = await localServer({ command: ["/nowhere/ssh"], made: true });
    expect(await rejection(storage.get("a"))).toMatchObject({ code: "storage_failed", retryable: false });
  });
});
