import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { golden, goldenCopy, json } from "./golden.ts";
import { stillpoint, temporaryFolder } from "./harness.ts";

interface ExpectedEntry {
  /** Lacks for a name that isn't UTF-8. */
  readonly path?: string;
  readonly type: string;
  readonly sha256?: string;
}
interface ExpectedPoint {
  readonly id: string;
  readonly source: string;
  readonly kind: string;
  readonly entries?: readonly ExpectedEntry[];
}
const expected = JSON.parse(readFileSync(join(import.meta.dirname, "../vectors/expected.json"), "utf8")) as {
  readonly points: readonly ExpectedPoint[];
};
const files = "392c6400";

/** All packs of a repository, the largest first. */
function packs(repository: string): string[] {
  const folder = join(repository, "packs");
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  return found.filter((file) => statSync(file).isFile()).toSorted((a, b) => statSync(b).size - statSync(a).size);
}

describe("ls", () => {
  test("shows a folder as ls(1) does", async () => {
    const { stdout } = await stillpoint(["ls", files, ...golden]);
    expect(stdout).toMatch(/^drwxr-s--- +1000:1000 +2025-11-22 11:33:54 +folder\/$/m);
    expect(stdout).toMatch(/^lrwxrwxrwx .* link to nothing -> \/nonexistent/m);
    expect(stdout).not.toContain("\u001B");
  });

  test("JSON has each entry with its attributes", async () => {
    expect(await json(["ls", files, "folder", ...golden])).toContainEqual({
      path: "folder/hard three",
      type: "file",
      size: 13,
      mode: "0644",
      uid: 1000,
      gid: 1000,
      mtime: "1763811234.000000001",
    });
  });

  test("a name that isn't UTF-8 is told by its bytes", async () => {
    const entries = (await json(["ls", files, ...golden])) as { path64?: string }[];
    expect(entries.some(({ path64 }) => path64 !== undefined)).toBe(true);
  });

  test.each([
    [["ls", files, "nothing/there"], 1, "has nothing at nothing/there"],
    [["ls", files, "../etc"], 2, "leads out of the directory"],
    [["cat", files, "folder"], 2, "it is a directory"],
    [["cat", files, "nothing"], 1, "has nothing at nothing"],
  ])("%j", async (args, exit, message) => {
    const { status, stdout, stderr } = await stillpoint([...args, ...golden]);
    expect({ status, stdout }).toEqual({ status: exit, stdout: "" });
    expect(stderr).toContain(message);
  });
});

test("cat gives a file, a command's output and an image, byte by byte", async () => {
  expect((await stillpoint(["cat", "latest", "--source", "short-dump", ...golden])).stdout).toBe("a single chunk\n");
  expect((await stillpoint(["cat", files, "hard one", ...golden])).stdout).toHaveLength(13);
  const disk = expected.points.find(({ source }) => source === "small-disk");
  const { stdout } = await stillpoint(["cat", disk?.id ?? "", ...golden]);
  expect(stdout.length).toBeGreaterThan(0);
});

test("diff names what differs, and what about it", async () => {
  const { status, stdout } = await stillpoint(["diff", files, "5343ebcb", ...golden]);
  expect({ status, stdout }).toEqual({ status: 0, stdout: "M . (mode)\nM plain.txt (content, time)\n" });
  expect(await json(["diff", files, files, ...golden])).toEqual([]);
  expect((await stillpoint(["diff", files, "9ae572fc", ...golden])).status).toBe(2);
});

describe("restore", () => {
  test("a directory: every file as it was", async () => {
    const to = join(temporaryFolder(), "restored");
    const { stdout } = await stillpoint(["restore", files, "--to", to, "--json", ...golden]);
    expect(JSON.parse(stdout)).toMatchObject({
      id: expect.stringMatching(/^392c6400/),
      place: to,
      complete: true,
      damaged: [],
    });
    const entries = expected.points.find(({ id }) => id.startsWith(files))?.entries ?? [];
    const regular = entries.filter(
      ({ type, sha256, path }) => type === "file" && sha256 !== undefined && path !== undefined,
    );
    expect(regular.length).toBeGreaterThan(20);
    for (const { path = "", sha256 } of regular) {
      const found = createHash("sha256")
        .update(readFileSync(join(to, path)))
        .digest("hex");
      expect({ path, sha256: found }).toEqual({ path, sha256 });
    }
  });

  test("only some paths of it", async () => {
    const to = join(temporaryFolder(), "restored");
    await stillpoint(["restore", files, "--to", to, "--path", "folder/hard three", "--path", "empty", ...golden]);
    expect(readdirSync(to).toSorted()).toEqual(["empty", "folder"]);
    expect(readdirSync(join(to, "folder"))).toEqual(["hard three"]);
  });

  test("never touches a target that is there", async () => {
    const to = join(temporaryFolder(), "x");
    writeFileSync(to, "precious");
    const { status, stderr } = await stillpoint(["restore", files, "--to", to, ...golden]);
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining("it exists already") });
    expect(readFileSync(to, "utf8")).toBe("precious");
  });

  test.each([
    ["a target in no folder", "nowhere/x", [], 1, "its parent folder doesn't exist"],
    ["a path that isn't in it", "x", ["--path", "no/such"], 1, "no/such"],
    ["a path that leads out", "x", ["--path", "../x"], 2, "leads out"],
  ])("%s", async (_, name, options, exit, message) => {
    const folder = temporaryFolder();
    const { status, stderr } = await stillpoint(["restore", files, "--to", join(folder, name), ...options, ...golden]);
    expect({ status, stderr }).toEqual({ status: exit, stderr: expect.stringContaining(message) });
    expect(existsSync(join(folder, "x"))).toBe(false);
  });

  test("--to is required", async () => {
    const { status, stderr } = await stillpoint(["restore", files, ...golden]);
    expect(status).toBe(2);
    expect(stderr).toContain("--to");
  });

  test("what is damaged is named, the rest restored: exit status 4; --keep-going takes it as it is", async () => {
    const { repository, options } = goldenCopy();
    const to = join(temporaryFolder(), "disk");
    const disk = expected.points.find(({ source }) => source === "disk")?.id ?? "";
    for (const pack of packs(repository)) {
      const data = readFileSync(pack);
      // The class in the header (docs/format.md section 6): 2 is data. Its first blob begins behind 48 bytes.
      if (data[10] === 2) writeFileSync(pack, data.fill(0xff, 50, 55));
    }
    const { status, stdout } = await stillpoint(["restore", disk, "--to", to, "--json", ...options]);
    expect(status).toBe(4);
    const report = JSON.parse(stdout) as {
      complete: boolean;
      damaged: { offset: number; length: number }[];
      place: string;
    };
    expect(report.complete).toBe(false);
    expect(report.damaged[0]).toMatchObject({
      path: "",
      offset: expect.any(Number),
      length: expect.any(Number),
      reason: expect.any(String),
    });
    expect(existsSync(to)).toBe(false);
    expect((await stillpoint(["restore", disk, "--to", to, "--keep-going", ...options])).status).toBe(4);
    expect(existsSync(to)).toBe(true);
  });
});

describe("repair", () => {
  const damaged = (): { repository: string; options: string[] } => {
    const copy = goldenCopy();
    rmSync(join(copy.repository, "lease"));
    for (const pack of packs(copy.repository)) {
      const data = readFileSync(pack);
      if (data[10] === 2) writeFileSync(pack, data.fill(0xff, 50, 55));
    }
    return copy;
  };

  test("fetches from another copy what is damaged here; a check finds nothing then", async () => {
    const { options } = damaged();
    const whole = goldenCopy().repository;
    const repaired = (await json(["repair", "--replica", whole, ...options])) as { fetched: number };
    expect(repaired).toMatchObject({ dry_run: false, lost: [] });
    expect(repaired.fetched).toBeGreaterThan(0);
    expect((await stillpoint(["check", "--read-data", ...options])).status).toBe(0);
  });

  test("without another copy: names what is lost, exit status 4", async () => {
    const { options } = damaged();
    const { status, stdout } = await stillpoint(["repair", "--dry-run", ...options]);
    expect(status).toBe(4);
    expect(stdout).toMatch(/^ {2}costs [0-9a-f]{8}: .*bytes? \d+/m);
  });

  test("--no-read-data sees only the structure", async () => {
    const { options } = damaged();
    expect((await stillpoint(["repair", "--dry-run", "--no-read-data", ...options])).stdout).toContain(
      "nothing to repair",
    );
  });

  test("goes on without a copy that can't be opened, and says so", async () => {
    const { options } = damaged();
    const copies = ["--replica", "/nowhere", "--replica", goldenCopy().repository];
    const { status, stdout, stderr } = await stillpoint(["repair", "--dry-run", "--json", ...copies, ...options]);
    expect(status).toBe(0);
    expect(stderr).toContain("going on without one copy");
    expect(JSON.parse(stdout)).toMatchObject({ dry_run: true, lost: [] });
  });
});

describe("check", () => {
  test("of a repository that is whole: nothing found", async () => {
    const { repository, options } = goldenCopy();
    rmSync(join(repository, "lease"));
    expect(await json(["check", "--read-data", ...options])).toMatchObject({
      location: repository,
      findings: [],
      points: 11,
      read_data: { group: 1, of: 1 },
      bytes_read: expect.any(Number),
    });
  });

  test("of one with a truncated pack: exit status 4, and which files that costs", async () => {
    const { repository, options } = goldenCopy();
    const [pack = ""] = packs(repository);
    truncateSync(pack, 100);
    const { status, stdout } = await stillpoint(["check", "--read-data", "--json", ...options]);
    expect(status).toBe(4);
    const { findings } = JSON.parse(stdout) as { findings: { kind: string; affected: object[] }[] };
    expect(findings.find(({ kind }) => kind === "pack")?.affected[0]).toMatchObject({ point: expect.any(String) });
    expect((await stillpoint(["check", ...options])).stdout).toMatch(/^DAMAGE: .*\n {2}costs [0-9a-f]{8}: /m);
  });

  test.each(["0/3", "4/3", "x", "1/0"])("--read-data=%s is wrong usage", async (part) => {
    const { status, stderr } = await stillpoint(["check", `--read-data=${part}`, ...golden]);
    expect(status).toBe(2);
    expect(stderr).toContain("such as 1/7");
  });
});
