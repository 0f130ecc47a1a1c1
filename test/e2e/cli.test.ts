/** Every verb of the real program, on a real repository: exit statuses, and the shapes that `--json` prints. */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Host, project, stillpoint } from "./host.ts";

const host = new Host();
const id = expect.stringMatching(/^[0-9a-f]{32}$/);
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
const number = expect.any(Number);
const text = expect.any(String);

interface Point {
  readonly id: string;
  readonly source: string;
}

beforeAll(() => {
  host.set({ replicas: ["usb", "vault"] });
  expect(host.run("run", "all").status).toBe(0);
});
afterAll(() => host.remove());

function points(...options: readonly string[]): readonly Point[] {
  return host.json("list", ...options) as readonly Point[];
}

function newest(source: string): string {
  return points("--source", source).at(-1)?.id ?? "";
}

describe("run", () => {
  test("JSON: every stage's outcome", () => {
    const stage = { started: time, finished: time, errors: [] };
    const point = { id, time, consistency: text, size: number, read: number, new: number, stored: number, left_out: 0 };
    const sent = { points: number, bytes_read: number, bytes_sent: number, backlog: { points: 0, bytes: 0 } };
    expect(host.json("run", "all")).toEqual({
      policy: "all",
      started: time,
      finished: time,
      outcome: "ok",
      sources: ["data", "disk", "dump"].map((source) => ({ source, outcome: "ok", point, ...stage })),
      replicas: ["usb", "vault"].map((replica) => ({ replica, outcome: "ok", ...sent, unlocked: null, ...stage })),
      prune: ["primary", "usb", "vault"].map((location) => ({
        location,
        outcome: "ok",
        kept: number,
        forgotten: number,
        given_up: 0,
        ...stage,
      })),
    });
  });

  test("only one source", () => {
    expect(host.json("run", "all", "--source", "data")).toMatchObject({ outcome: "ok", sources: [{ source: "data" }] });
  });

  test("what fails is partly done, exit status 3, and the rest is done", () => {
    const disk = readFileSync(host.path("disk.raw"));
    rmSync(host.path("disk.raw"));
    const { status, stdout } = host.run("run", "all");
    writeFileSync(host.path("disk.raw"), disk);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^disk: FAILED: /m);
    expect(stdout).toMatch(/^data: [0-9a-f]{8}, crash, /m);
  });

  test("nothing captured has failed, exit status 1", () => {
    const disk = readFileSync(host.path("disk.raw"));
    rmSync(host.path("disk.raw"));
    const { status } = host.run("run", "all", "--source", "disk");
    writeFileSync(host.path("disk.raw"), disk);
    expect(status).toBe(1);
  });

  test.each([
    [["run", "al"], "Did you mean all?"],
    [["run", "all", "--source", "dota"], "Did you mean data?"],
    [["replicate", "al"], "Did you mean all?"],
    [["prune", "al"], "Did you mean all?"],
  ])("%j: exit status 1", (args, message) => {
    const { status, stdout, stderr } = host.run(...args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain(message);
  });

  test("a replica that is gone: exit status 3, and the others have it all", () => {
    rmSync(host.path("vault"), { recursive: true });
    const { status, stdout } = host.run("run", "all");
    expect(status).toBe(3);
    expect(stdout).toMatch(/^vault: FAILED: /m);
    expect(stdout).toMatch(/^usb: \d+ recovery points sent/m);
    expect(existsSync(host.path("vault"))).toBe(false);
    expect(host.run("replicate").status).toBe(3);
    expect(host.run("list", "--location", "vault").status).toBe(1);
    const config = readFileSync(host.config, "utf8");
    writeFileSync(host.config, config.replace(", vault: { path: vault }", "").replace(", vault: {}", ""));
    expect(host.run("run", "all").status).toBe(0);
  });
});

describe("looking", () => {
  test("list: the same points at the primary and at the replica", () => {
    const here = points();
    expect(here[0]).toEqual({
      id,
      source: text,
      policy: "all",
      kind: text,
      host: text,
      time,
      consistency: text,
      location: "primary",
      sizes: { size: number, read: number, new: number, stored: number },
      tags: [],
      verified: null,
      held: false,
      left_out: 0,
    });
    expect(points("--location", "usb").map((point) => point.id)).toEqual(here.map((point) => point.id));
    expect(points("--policy", "other")).toEqual([]);
  });

  test("show, ls, cat, diff", () => {
    const data = newest("data");
    expect(host.json("show", data)).toMatchObject({
      id: data,
      source: "data",
      digest: text,
      received: time,
      parts: [{ kind: "directory" }],
    });
    expect(host.json("ls", data, "folder")).toContainEqual({
      path: "folder/private",
      type: "file",
      size: 6,
      mode: "0600",
      uid: number,
      gid: number,
      mtime: text,
    });
    expect(host.run("cat", data, "hello.txt").stdout).toBe("hello\n");
    expect(host.run("cat", newest("dump")).stdout).toBe(readFileSync(`${project}/test/e2e/host.ts`, "utf8"));
    writeFileSync(host.path("data/hello.txt"), "changed\n");
    host.run("run", "all", "--source", "data");
    expect(host.json("diff", data, newest("data"))).toContainEqual({
      kind: "changed",
      path: "hello.txt",
      aspects: expect.arrayContaining(["content", "time"]),
    });
  });

  test("status without a daemon", () => {
    expect(host.json("status")).toMatchObject({
      daemon: null,
      policies: [],
      locations: [{ location: "primary", reachable: true, error: null }, { location: "usb" }],
      points: expect.arrayContaining([
        {
          policy: "all",
          source: "data",
          location: "primary",
          newest: expect.objectContaining({ id, time, consistency: text }),
          verified: null,
          objective: null,
          age: number,
          met: null,
        },
      ]),
    });
    expect(host.run("status").stdout).toContain("No daemon runs");
  });
});

describe("restore", () => {
  test("JSON", () => {
    const place = host.path("restored");
    expect(host.json("restore", "latest", "--source", "data", "--to", place)).toEqual({
      id,
      place,
      complete: true,
      files: number,
      folders: number,
      bytes: number,
      bytes_in_place: 0,
      damaged: [],
      problems: [],
      shortfalls: [],
    });
    expect(readFileSync(`${place}/folder/private`, "utf8")).toBe("secret");
  });

  test("from a replica, and with neither configuration nor primary", () => {
    const options = ["restore", "latest", "--source", "disk"];
    expect(host.run(...options, "--location", "usb", "--to", host.path("a")).status).toBe(0);
    const alone = ["--repository", host.path("usb"), "--key-file", host.key];
    expect(stillpoint([...options, "--to", host.path("b"), ...alone]).status).toBe(0);
    expect(readFileSync(host.path("a"))).toEqual(readFileSync(host.path("disk.raw")));
    expect(readFileSync(host.path("b"))).toEqual(readFileSync(host.path("disk.raw")));
  });

  test("when the primary can't be read, the replicas are named", () => {
    const config = host.path("moved.yaml");
    writeFileSync(config, readFileSync(host.config, "utf8").replace("path: repository", "path: nowhere/repository"));
    const { status, stderr } = stillpoint(["restore", "latest", "--to", host.path("c"), "--config", config]);
    expect(status).toBe(1);
    expect(stderr).toContain("add --location usb");
  });
});

describe("keeping and forgetting", () => {
  test("hold, tag, release, forget; a replica follows", () => {
    const [point] = points("--source", "dump");
    const dump = point?.id ?? "";
    expect(host.json("hold", dump, "--reason", "audit")).toEqual({ id: dump, held: true, reason: "audit" });
    expect(host.json("tag", dump, "q3")).toEqual({ id: dump, tags: ["q3"] });
    expect(host.run("forget", dump).status).toBe(2);
    expect(host.run("replicate").status).toBe(0);
    expect(host.json("show", dump, "--location", "usb")).toMatchObject({ held: true, tags: ["q3"] });
    expect(host.json("release", dump)).toMatchObject({ held: false, released: ["primary", "usb"] });
    expect(host.json("show", dump, "--location", "usb")).toMatchObject({ held: false });
    expect(host.json("forget", dump)).toEqual({ location: "primary", forgotten: [dump] });
    expect(host.run("show", dump).status).toBe(1);
    expect(host.run("show", dump, "--location", "usb").status).toBe(0);
  });

  test("prune --dry-run: each point once, with its reasons; it changes nothing", () => {
    const before = points();
    const results = host.json("prune", "--dry-run") as {
      location: string;
      sources: { keep: object[]; remove: string[] }[];
    }[];
    expect(results.map(({ location }) => location)).toEqual(["primary", "usb"]);
    expect(results[0]).toEqual({
      policy: "all",
      location: "primary",
      sources: expect.arrayContaining([
        {
          source: "data",
          keep: expect.arrayContaining([
            { id, time: expect.stringMatching(/Z$/), reasons: expect.arrayContaining(["newest"]) },
          ]),
          remove: [],
          given_up: [],
        },
      ]),
      forgotten: [],
      error: null,
    });
    expect(host.run("prune", "--dry-run").stdout).toMatch(
      /^ {2}keep {2}[0-9a-f]{8} {2}\d{4}-\d\d-\d\d [\d:]{8} {2}\w/m,
    );
    expect(points()).toEqual(before);
    expect(host.run("prune").status).toBe(0);
  });

  test("retention simulate on what list prints", () => {
    writeFileSync(host.path("points.json"), JSON.stringify(points("--source", "data")));
    writeFileSync(host.path("keep.yaml"), "last: 1\n");
    const args = ["--points", host.path("points.json"), "--keep", host.path("keep.yaml"), "--json"];
    const { status, stdout } = stillpoint(["retention", "simulate", ...args]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      keep: [{ id: newest("data"), reasons: ["last"] }],
      remove: expect.any(Array),
    });
  });
});

describe("maintaining", () => {
  test("check, and what it proves is shown", () => {
    expect(host.json("check", "--read-data")).toMatchObject({
      location: "primary",
      findings: [],
      points: number,
      blobs: number,
      packs: number,
      read_data: { group: 1, of: 1 },
      bytes_read: number,
      seconds: number,
      proofs: number,
    });
    expect(host.json("show", newest("data"))).toMatchObject({ verified: time });
    expect(host.run("check", "--location", "usb", "--read-data=1/2").status).toBe(0);
  });

  test("sweep and repair", () => {
    const packs = { packs: number, bytes: number };
    expect(host.json("sweep", "--dry-run")).toMatchObject({
      location: "primary",
      dry_run: true,
      deleted: packs,
      condemned: packs,
    });
    expect(host.run("sweep").status).toBe(0);
    expect(host.json("repair", "--dry-run")).toEqual({
      location: "primary",
      dry_run: true,
      objects: [],
      indexed: [],
      dropped: [],
      salvaged: 0,
      fetched: 0,
      lost: [],
    });
  });

  test("keys reach the replica with the next replication", () => {
    const second = host.path("second.key");
    expect(host.json("key", "add", "--new-key-file", second)).toEqual({ id: text, type: "key-file" });
    expect(host.json("key", "list")).toEqual(
      Array.from({ length: 2 }, () => ({ id: text, type: "key-file", label: text, created: time })),
    );
    expect(host.run("replicate").status).toBe(0);
    expect(stillpoint(["list", "--repository", host.path("usb"), "--key-file", second]).status).toBe(0);
  });

  test("config check and schema", () => {
    expect(host.json("config", "check")).toMatchObject({
      file: host.config,
      valid: true,
      policies: ["all"],
      replicas: ["usb"],
    });
    expect(stillpoint(["config", "schema"]).status).toBe(0);
  });
});

test("init again, with nothing to do, changes nothing", () => {
  const key = readFileSync(host.key);
  expect(host.run("init").status).toBe(0);
  expect(readFileSync(host.key)).toEqual(key);
});
