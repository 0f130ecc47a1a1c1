import { describe, expect, test } from "vitest";
import { compareConfigs, type ConfigChanges, readWritten } from "../../src/policy/compare-configs.ts";

const usual = `
version: 1
repository: { path: /r, key_file: /k }
replicas: { usb: { path: /mnt/usb/r } }
sources:
  etc: { directory: { path: /etc } }
  db: { command: { run: [dump], environment: { PASSWORD: old-word } } }
policies:
  nightly:
    sources: [etc, db]
    schedule: { cron: "10 2 * * *" }
    keep: { daily: 14 }
    replicate: { usb: {} }
`;

/** `changes` are pairs of texts: what stands there, and what stands there afterwards. */
function changed(...changes: readonly (readonly [string, string])[]): ConfigChanges {
  const after = changes.reduce((text, [old, now]) => {
    expect(text).toContain(old);
    return text.replace(old, now);
  }, usual);
  return compareConfigs(readWritten(usual, "/a/s.yaml"), readWritten(after, "/b/s.yaml"), Date.UTC(2026, 0, 1));
}

const nothing = { parts: [], settings: [] };

test("the same in other words is no change", () => {
  expect(changed()).toEqual(nothing);
  expect(changed(["replicate: { usb: {} }", "replicate:\n      usb: {} # as above"])).toEqual(nothing);
  expect(changed(["/etc }", "/etc/ }"])).toEqual(nothing);
});

describe("parts", () => {
  test("added and removed, by name", () => {
    const { parts } = changed(
      ["etc: {", "conf: {"],
      ["[etc, db]", "[conf, db]"],
      ["  nightly:", "  daily:"],
      ["usb: { path", "far: { path"],
      ["{ usb: {} }", "{ far: {} }"],
    );
    expect(parts.map(({ kind, name, change }) => `${kind} ${name} ${change}`)).toEqual([
      "source etc removed",
      "source conf added",
      "replica usb removed",
      "replica far added",
      "policy nightly removed",
      "policy daily added",
    ]);
  });

  test("changed, setting by setting, as they are written", () => {
    expect(changed(["{ daily: 14 }", "{ daily: 7, last: 3 }"]).parts).toEqual([
      {
        kind: "policy",
        name: "nightly",
        change: "changed",
        settings: [
          { setting: "keep.daily", before: 14, after: 7 },
          { setting: "keep.last", before: undefined, after: 3 },
        ],
      },
    ]);
  });

  test("what a policy says of a replica", () => {
    const usb = ["{ usb: {} }", "{ usb: { from: far, lock: 30d }, far: {} }"] as const;
    const more = [
      "usb: { path: /mnt/usb/r }",
      "usb: { s3: { bucket: abc, region: x }, object_lock: governance }, far: { path: /far }",
    ] as const;
    const policy = changed(usb, more).parts.find(({ kind }) => kind === "policy");
    expect(policy?.settings.map(({ setting }) => setting)).toEqual([
      "replicate.usb.from",
      "replicate.usb.lock",
      "replicate.far",
    ]);
    const before = usual.replace(...usb).replace(...more);
    const longer = readWritten(before.replace("30d", "40d"), "/a/s.yaml");
    expect(compareConfigs(readWritten(before, "/a/s.yaml"), longer, 0).parts).toMatchObject([
      { kind: "policy", settings: [{ setting: "replicate.usb.lock", before: "30d", after: "40d" }] },
    ]);
  });

  test("a replica that a policy names no more, or anew, is one line", () => {
    const far = { keep: { daily: 7, weekly: 4 }, lock: "30d" };
    const [, changes] = changed(
      [
        "usb: { path: /mnt/usb/r }",
        "usb: { path: /mnt/usb/r }, far: { s3: { bucket: abc, region: x }, object_lock: governance }",
      ],
      ["replicate: { usb: {} }", `replicate: { far: ${JSON.stringify(far)} }`],
    ).parts;
    expect(changes?.settings).toEqual([
      { setting: "replicate.usb", before: {}, after: undefined },
      { setting: "replicate.far", before: undefined, after: far },
    ]);
  });

  test("a source that changes is no change of its policies", () => {
    expect(changed(["/etc }", "/srv/etc }"]).parts.map(({ kind, name }) => `${kind} ${name}`)).toEqual(["source etc"]);
  });

  test("a schedule that changes shows its next runs", () => {
    const [part] = changed(['{ cron: "10 2 * * *" }', "{ rpo: 4h }"]).parts;
    const days = [1, 2, 3].map((day) => Date.UTC(2026, 0, day, 2, 10));
    expect(part?.runs).toEqual({ before: days, after: [] });
    const [moved] = changed(['"10 2 * * *"', '"10 2 * * *", timezone: Europe/Berlin']).parts;
    expect(moved?.runs?.after).toEqual([1, 2, 3].map((day) => Date.UTC(2026, 0, day, 1, 10)));
  });

  test("values of environment variables aren't shown", () => {
    const text = JSON.stringify(changed(["old-word", "new-word"]));
    expect(text).toContain("command.environment.PASSWORD");
    expect(text).not.toMatch(/(?:old|new)-word/);
    const gone = changed([", environment: { PASSWORD: old-word }", ""]).parts;
    expect(gone).toMatchObject([
      { settings: [{ setting: "command.environment", before: { PASSWORD: "(not shown)" }, after: undefined }] },
    ]);
  });
});

test("settings without a name", () => {
  expect(changed(["version: 1\n", "version: 1\nmaintenance: { grace: 48h }\n"])).toEqual({
    parts: [],
    settings: [{ setting: "maintenance.grace", before: undefined, after: "48h" }],
  });
  // The default, written out.
  expect(changed(["version: 1\n", "version: 1\nmaintenance: { grace: 24h, retention_guard: 50% }\n"])).toEqual(nothing);
});

test("a new file's relative paths begin where it will be", () => {
  const relative = usual.replace("/r,", "r,").replace("/k ", "k ");
  const now = readWritten(relative, "/etc/stillpoint/s.yaml");
  const soon = readWritten(relative, "/root/new.yaml", "/etc/stillpoint");
  expect(soon.config.repository).toEqual(now.config.repository);
  expect(compareConfigs(now, soon, 0)).toEqual(nothing);
});
