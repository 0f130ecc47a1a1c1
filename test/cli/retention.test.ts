import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { stillpoint, temporaryFolder } from "./harness.ts";

function files(points: string, keep: string): string[] {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "points.json"), points);
  writeFileSync(join(folder, "keep.yaml"), keep);
  return ["retention", "simulate", "--points", join(folder, "points.json"), "--keep", join(folder, "keep.yaml")];
}

const points = JSON.stringify([
  { id: "old", time: "2026-06-29T12:00:00Z", tags: [] },
  { id: "noon", time: "2026-07-01T12:00:00Z", tags: ["a"] },
  { id: "late", time: "2026-07-01T22:30:00Z", tags: [] },
]);

describe("retention simulate", () => {
  test("JSON says what is kept and why, and what isn't", async () => {
    const { status, stdout } = await stillpoint([
      ...files(points, "daily: 1\ntags: [[a]]\n"),
      "--now",
      "2026-07-02T00:00:00Z",
      "--json",
    ]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      keep: [
        { id: "late", reasons: [expect.stringContaining("daily")] },
        { id: "noon", reasons: [expect.stringContaining("a")] },
      ],
      remove: ["old"],
    });
  });

  test("days begin in the zone given", async () => {
    const args = [...files(points, "daily: 2"), "--json"];
    const kept = async (zone: string): Promise<string[]> => {
      const { stdout } = await stillpoint([...args, "--timezone", zone]);
      return (JSON.parse(stdout) as { keep: { id: string }[] }).keep.map(({ id }) => id);
    };
    expect(await kept("UTC")).toEqual(["late", "old"]);
    expect(await kept("Europe/Berlin")).toEqual(["late", "noon"]);
  });

  test("a table for people", async () => {
    const { stdout } = await stillpoint(files(points, "last: 1"));
    expect(stdout).toMatch(/^keep +late +2026-07-01 22:30:00 +last/m);
    expect(stdout).toMatch(/^remove +old +2026-06-29 12:00:00$/m);
    expect(stdout).toContain("1 point kept, 2 points removed");
  });

  test.each([
    [files.bind(undefined, "[{}]", "last: 1"), [], "point 1, `id`"],
    [files.bind(undefined, "nonsense", "last: 1"), [], "it isn't JSON"],
    [files.bind(undefined, points, "dayly: 1"), [], "did you mean `daily`?"],
    [files.bind(undefined, points, "last: 1"), ["--now", "yesterday"], "--now"],
    [files.bind(undefined, points, "last: 1"), ["--timezone", "Mars/Olympus"], "--timezone"],
    [() => ["retention", "simulate"], [], "required option '--points <file>' not specified"],
  ])("wrong input %#", async (args, more, message) => {
    const { status, stdout, stderr } = await stillpoint([...args(), ...more]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("config", () => {
  test("check shows each problem at its place, and exits with 2", async () => {
    const file = join(temporaryFolder(), "bad.yaml");
    writeFileSync(file, "version: 1\nrepositry: {}\n");
    const { status, stdout, stderr } = await stillpoint(["config", "check", file]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toContain(`${file}:2:1: `);
    expect(stderr).toContain("repository");
  });

  test("check --json", async () => {
    const file = join(import.meta.dirname, "../../config/examples/minimal.yaml");
    const { stdout } = await stillpoint(["config", "check", file, "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      file,
      valid: true,
      sources: expect.any(Array),
      policies: expect.any(Array),
    });
  });

  test("schema is JSON Schema", async () => {
    const { stdout } = await stillpoint(["config", "schema"]);
    expect(JSON.parse(stdout)).toMatchObject({ $schema: "https://json-schema.org/draft/2020-12/schema" });
  });
});
