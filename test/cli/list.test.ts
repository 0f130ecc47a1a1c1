import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { golden, goldenCopy, json, vectors } from "./golden.ts";
import { stillpoint, temporaryFolder } from "./harness.ts";

const held = "392c6400618f82b66636969738124018";

describe("list", () => {
  test("JSON has the documented shape", async () => {
    const points = (await json(["list", ...golden])) as object[];
    expect(points).toHaveLength(11);
    expect(points[0]).toEqual({
      id: held,
      source: "files",
      policy: "daily",
      kind: "directory",
      host: "golden.example",
      time: "2026-11-21T01:00:00.123Z",
      consistency: "crash",
      location: join(vectors, "repository-v1"),
      sizes: {
        size: expect.any(Number),
        read: expect.any(Number),
        new: expect.any(Number),
        stored: expect.any(Number),
      },
      tags: ["before-upgrade", "keep"],
      verified: null,
      held: true,
      left_out: expect.any(Number),
    });
  });

  test("a table: short ids, times in UTC, what is held and tagged", async () => {
    const { stdout } = await stillpoint(["list", "--source", "files", ...golden]);
    const [title, first, ...others] = stdout.trimEnd().split("\n");
    expect(title).toMatch(/^ID +SOURCE +POLICY +TIME \(UTC\) +AGE +CONSISTENCY +SIZE +STORED +NOTES$/);
    expect(first).toMatch(/^392c6400 +files +daily +2026-11-21 01:00:00 .* held, before-upgrade, keep$/);
    expect(others).toEqual([expect.stringMatching(/^5343ebcb .* failed its last proof, nightly$/)]);
  });

  test("on a terminal no line is wider than it", async () => {
    const { stdout } = await stillpoint(["list", ...golden], { columns: 100 });
    for (const line of stripVTControlCharacters(stdout).split("\n")) expect(line.length).toBeLessThanOrEqual(100);
  });

  test.each([
    ["--key-file", "key-file"],
    ["--passphrase-file", "passphrase"],
    ["--age-identity", "age-identity"],
  ])("opens with %s", async (option, file) => {
    const { status } = await stillpoint([
      "list",
      "--repository",
      join(vectors, "repository-v1"),
      option,
      join(vectors, file),
    ]);
    expect(status).toBe(0);
  });

  test("a file: URL is a path too", async () => {
    const { status } = await stillpoint([
      "list",
      "--repository",
      `file://${vectors}/repository-v1`,
      ...golden.slice(2),
    ]);
    expect(status).toBe(0);
  });

  test("a damaged manifest is said, and the others are listed: exit status 4", async () => {
    const { repository, options } = goldenCopy();
    const [folder = ""] = readdirSync(join(repository, "points"));
    const [name = ""] = readdirSync(join(repository, "points", folder));
    writeFileSync(join(repository, "points", folder, name), "nonsense");
    const { status, stdout, stderr } = await stillpoint(["list", "--json", ...options]);
    expect(status).toBe(4);
    expect(JSON.parse(stdout)).toHaveLength(10);
    expect(stderr).toContain(`points/${folder}/${name}`);
  });
});

describe("a repository that can't be opened", () => {
  const repository = join(vectors, "repository-v1");
  const unusable = (name: string, content: string): string => {
    const file = join(temporaryFolder(), name);
    writeFileSync(file, content);
    return file;
  };
  test.each([
    ["no key", () => ["--repository", repository], 2, "without a key"],
    ["two keys", () => [...golden, "--passphrase-file", "x"], 2, "two keys at once"],
    ["a key without a repository", () => ["--key-file", "x"], 2, "without --repository"],
    [
      "another key",
      () => ["--repository", repository, "--passphrase-file", unusable("p", "wrong\n")],
      1,
      "none of its keys opens",
    ],
    ["no such key", () => ["--repository", repository, "--key-file", "/nowhere/key"], 1, "there is no such file"],
    ["not a key", () => ["--repository", repository, "--key-file", unusable("k", "hello")], 1, "as a key file"],
    [
      "an empty passphrase",
      () => ["--repository", repository, "--passphrase-file", unusable("p", "\n")],
      1,
      "it is empty",
    ],
    [
      "not an identity",
      () => ["--repository", repository, "--age-identity", unusable("i", "age1x")],
      1,
      "AGE-SECRET-KEY-",
    ],
    ["not a repository", () => ["--repository", vectors, ...golden.slice(2)], 1, "There is no repository"],
    ["no folder", () => ["--repository", "/nowhere", ...golden.slice(2)], 1, "/nowhere"],
    ["another kind of storage", () => ["--repository", "ftp://host/x", ...golden.slice(2)], 2, "opens folders"],
    [
      "a password in a URL",
      () => ["--repository", "sftp://me:secret@host/x", ...golden.slice(2)],
      2,
      "log in by a key",
    ],
    ["a bucket nowhere", () => ["--repository", "s3://bucket/x", ...golden.slice(2)], 2, "needs a region"],
  ])("%s", async (_, options, exit, message) => {
    const { status, stdout, stderr } = await stillpoint(["list", ...options()]);
    expect({ status, stdout }).toEqual({ status: exit, stdout: "" });
    expect(stderr).toContain(message);
    expect(stderr).not.toMatch(/^ +at /m);
  });
});

describe("naming a point", () => {
  test.each([
    ["392c6400", 0, held],
    ["392C6400", 0, held],
    ["39", 2, "4 to 32 hexadecimal digits"],
    ["zzzzzzzz", 2, "4 to 32 hexadecimal digits"],
    ["00000000", 1, "No recovery point has the id 00000000"],
    ["latest", 2, "Add --source: "],
  ])("%s", async (id, exit, message) => {
    const { status, stdout, stderr } = await stillpoint(["show", id, ...golden]);
    expect(status).toBe(exit);
    expect(stdout + stderr).toContain(message);
  });

  test.each([
    ["2026-11-21", 0, "392c6400"],
    ["2026-11-22", 0, "5343ebcb"],
    ["2026-11-22 00:59", 0, "392c6400"],
    ["2026-11-22T01:00", 0, "5343ebcb"],
    ["2026-11-22T00:59:59Z", 0, "392c6400"],
    ["2026-11-20", 1, "The oldest is of 2026-11-21 01:00:00 UTC."],
    ["2026-02-30", 2, "There is no time 2026-02-30"],
    ["2026-11-22T25:00", 2, "There is no time"],
  ])("by its time: %s", async (time, exit, message) => {
    const { status, stdout, stderr } = await stillpoint(["show", time, "--source", "files", ...golden]);
    expect(status).toBe(exit);
    expect(stdout + stderr).toContain(message);
  });

  test("by its time, of which source?", async () => {
    expect((await stillpoint(["show", "2026-11-22", ...golden])).stderr).toContain("Add --source: ");
  });

  test("latest of a source", async () => {
    expect(await json(["show", "latest", "--source", "files", ...golden])).toMatchObject({
      id: expect.stringMatching(/^5343ebcb/),
    });
  });

  test("a source that there is not", async () => {
    const { status, stderr } = await stillpoint(["show", "latest", "--source", "flies", ...golden]);
    expect(status).toBe(1);
    expect(stderr).toContain('no recovery point of the source "flies"');
  });
});

test("show tells all that the manifest says, with hold and proof", async () => {
  expect(await json(["show", held, ...golden])).toMatchObject({
    id: held,
    digest: expect.stringMatching(/^392c6400[0-9a-f]{56}$/),
    previous: expect.stringMatching(/^228d404c/),
    hold: { reason: expect.any(String), time: expect.any(String) },
    proof: null,
    parts: [{ name: expect.any(String), kind: "directory", size: null }],
  });
  const { stdout } = await stillpoint(["show", "5343ebcb", ...golden]);
  expect(stdout).toMatch(/^verified +NO: it failed at 2026-11-22 03:00:00 UTC, by a restore/m);
});

describe("holds, tags and forgetting", () => {
  test("a held point can't be forgotten; a released one can, and is gone", async () => {
    const { options } = goldenCopy();
    const refused = await stillpoint(["forget", held, ...options]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("it is held");
    expect(await json(["release", held, ...options])).toEqual({
      id: held,
      held: false,
      released: [options[1]],
      failed: [],
    });
    expect(await json(["forget", held, ...options])).toEqual({ location: options[1], forgotten: [held] });
    expect(await json(["list", ...options])).not.toContainEqual(expect.objectContaining({ id: held }));
  });

  test("a hold that is damaged still holds, and can be released", async () => {
    const { repository, options } = goldenCopy();
    writeFileSync(join(repository, "holds", held), "damaged");
    const refused = await stillpoint(["forget", held, ...options]);
    expect(refused.status).toBe(2);
    expect(refused.stderr).toContain("it is held");
    expect((await stillpoint(["release", held, ...options])).stdout).toBe(`${held} is released at ${repository}\n`);
    expect((await stillpoint(["release", held, ...options])).stdout).toBe(`${held} isn't held\n`);
    expect((await stillpoint(["forget", held, ...options])).status).toBe(0);
  });

  test("a hold keeps its first reason", async () => {
    const { options } = goldenCopy();
    const id = (await json(["show", "5343ebcb", ...options])) as { id: string };
    expect(await json(["hold", "5343ebcb", "--reason", "audit", ...options])).toEqual({
      id: id.id,
      held: true,
      reason: "audit",
    });
    expect(await json(["hold", "5343ebcb", "--reason", "other", ...options])).toEqual({
      id: id.id,
      held: true,
      reason: "audit",
    });
    expect(await json(["show", "5343ebcb", ...options])).toMatchObject({ held: true, hold: { reason: "audit" } });
  });

  test("a mistyped id among several forgets none of them", async () => {
    const { options } = goldenCopy();
    expect((await stillpoint(["forget", "5343ebcb", "00000000", ...options])).status).toBe(1);
    expect(await json(["list", ...options])).toHaveLength(11);
  });

  test("`latest` is no id to forget by", async () => {
    for (const time of ["latest", "2026-11-22"])
      expect((await stillpoint(["forget", time, ...goldenCopy().options])).status).toBe(2);
  });

  test("tags are added and removed", async () => {
    const { options } = goldenCopy();
    expect(await json(["tag", held, "new", "--remove", "keep", ...options])).toEqual({
      id: held,
      tags: ["before-upgrade", "new"],
    });
    expect(await json(["show", held, ...options])).toMatchObject({ tags: ["before-upgrade", "new"] });
    expect((await stillpoint(["tag", held, "no spaces", ...options])).status).toBe(2);
    expect((await stillpoint(["tag", held, ...options])).status).toBe(2);
  });

  test("verbs that only look can't write", async () => {
    const { repository, options } = goldenCopy();
    const before = readdirSync(repository, { recursive: true });
    await stillpoint(["list", ...options]);
    await stillpoint(["show", held, ...options]);
    await stillpoint(["sweep", "--dry-run", ...options]);
    expect(readdirSync(repository, { recursive: true })).toEqual(before);
  });
});
