import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isStillpointError } from "../../src/errors.ts";
import type { Config } from "../../src/policy/config.ts";
import { findState, loadConfig } from "../../src/policy/load.ts";

const folder = join(import.meta.dirname, "../../config");
const yamlFiles = (path: string): string[] =>
  readdirSync(path)
    .filter((name) => name.endsWith(".yaml"))
    .map((name) => join(path, name));

const minimal = readFileSync(join(folder, "examples/minimal.yaml"), "utf8");
const commented = readFileSync(join(folder, "stillpoint.yaml"), "utf8");
const valid = [minimal, commented, ...yamlFiles(join(folder, "examples")).map((file) => readFileSync(file, "utf8"))];

/** The message of the error that `text` causes. */
function messageFor(text: string, file = "stillpoint.yaml"): string {
  try {
    loadConfig(text, file);
  } catch (error) {
    if (isStillpointError(error, "config_invalid")) return error.message;
    throw error;
  }
  throw new Error("this configuration is valid");
}

describe("one mistake is one problem", () => {
  const policy = (rest: string): string => `${minimal}\n  other: { sources: [etc], ${rest} }\n`;

  test.each([
    [
      "two words for a duration",
      policy("schedule: { cron: '0 * * * *' }, keep: { last: 1 }, objectives: { rpo: 2 hours }"),
      "expected a duration",
    ],
    [
      "a comma that is missing",
      policy("schedule: { cron: '0 * * * *' }, keep: { last: 1 daily: 2 }"),
      "a comma or a closing bracket is missing",
    ],
    ["no text at all", "version: 1\0\u{1}\u{fffd}", "this isn't a text file"],
  ])("%s", (_, text, problem) => {
    const message = messageFor(text);
    expect(message).toContain(problem);
    expect(message).toMatch(/: 1 problem\.$/);
  });
});

describe("the state folder", () => {
  test("is the same whether or not the rest of the file is valid", () => {
    for (const text of valid) {
      const { state } = loadConfig(text, "/etc/stillpoint.yaml").repository;
      expect(findState(text, "/etc/stillpoint.yaml")).toBe(state);
      expect(findState(`${text}\n\tmistake: [\n`, "/etc/stillpoint.yaml")).toBe(state);
    }
    expect(findState("repository: { path: r, state: s }", "/etc/stillpoint.yaml")).toBe("/etc/s");
  });

  test("isn't guessed", () => {
    for (const text of ["", "a", "repository: x", "repository: { path: [r] }", "[".repeat(10_000)])
      expect(findState(text, "/etc/stillpoint.yaml")).toBeUndefined();
  });
});

describe("shipped files", () => {
  test.each([join(folder, "stillpoint.yaml"), ...yamlFiles(join(folder, "examples"))])("%s is valid", (file) => {
    expect(loadConfig(readFileSync(file, "utf8"), file).warnings).toEqual([]);
  });

  test.each(yamlFiles(join(folder, "examples/invalid")))("%s fails with the text beside it", (file) => {
    const expected = readFileSync(file.replace(/\.yaml$/, ".txt"), "utf8");
    expect(`${messageFor(readFileSync(file, "utf8"), basename(file))}\n`).toBe(expected);
  });

  test("the commented file shows every setting that there is", () => {
    const schema = JSON.parse(readFileSync(join(folder, "stillpoint.schema.json"), "utf8")) as object;
    for (const setting of settingsIn(schema)) expect(commented).toMatch(new RegExp(`\\b${setting}:`));
  });
});

function settingsIn(schema: object): Set<string> {
  const names = new Set<string>();
  const visit = (node: unknown): void => {
    if (typeof node !== "object" || node === null) return;
    if ("properties" in node) for (const name of Object.keys(node.properties as object)) names.add(name);
    for (const child of Object.values(node)) visit(child);
  };
  visit(schema);
  return names;
}

describe("what a valid file becomes", () => {
  const config = loadConfig(commented, "/etc/stillpoint/stillpoint.yaml");
  const policy = (name: string): Config["policies"][number] | undefined =>
    config.policies.find((item) => item.name === name);

  test("names are resolved, units are converted, defaults are there", () => {
    const often = policy("often");
    expect(often?.sources.map(({ name }) => name)).toEqual(["crm"]);
    expect(often?.sources[0]).toMatchObject({ kind: "command", timeout: 7_200_000, run: ["crm-dump", "--consistent"] });
    expect(often?.replicate[0]?.replica).toEqual({
      name: "vault",
      place: { kind: "fs", path: "/mnt/vault/host7" },
      bandwidth: { usual: 52_428_800, timezone: "UTC", windows: [] },
      appendOnly: false,
    });
    expect(often?.schedule).toMatchObject({ kind: "rpo", rpo: 14_400_000, timezone: "Europe/Berlin" });
    expect(often?.schedule.blackout).toEqual([{ from: 28_800_000, to: 36_000_000, days: [1, 2, 3, 4, 5] }]);
    expect(config.repository).toEqual({
      path: "/var/lib/stillpoint/repository",
      key: { kind: "key_file", path: "/etc/stillpoint/repository.key" },
      state: "/var/lib/stillpoint/state",
    });
    expect(config.daemon).toMatchObject({
      listen: { host: "127.0.0.1", port: 9464 },
      concurrency: 2,
      logLevel: "info",
    });
    expect(config.daemon.notify).toMatchObject({
      webhook: { url: { kind: "file", path: "/etc/stillpoint/webhook" }, timeout: 10_000 },
      ping: { url: { kind: "file", path: "/etc/stillpoint/ping" }, caFile: undefined, every: 300_000 },
      interval: 300_000,
      remind: 86_400_000,
    });
    expect(config.maintenance).toMatchObject({ grace: 86_400_000, check: { readDataParts: 1 } });
  });

  test("a replica without rules of its own has those of the policy", () => {
    const nightly = policy("nightly");
    expect(nightly?.replicate[0]?.keep).toEqual(nightly?.keep);
    expect(nightly?.replicate[1]?.keep).toEqual({ daily: 90, monthly: 36 });
  });

  test("a replica on an SFTP server keeps what ssh_config is to say open, and has its files' whole paths", () => {
    const text = minimal.replace(
      "sources:",
      "replicas:\n  far: { sftp: { host: vault, path: a/b/, identity_file: ssh_key } }\n  near: { sftp: { host: 10.0.0.7, port: 2222, user: me, path: / } }\nsources:",
    );
    expect(loadConfig(text, "/srv/sp/stillpoint.yaml").replicas).toMatchObject([
      {
        name: "far",
        place: { kind: "sftp", host: "vault", path: "a/b", port: undefined, identityFile: "/srv/sp/ssh_key" },
      },
      {
        name: "near",
        place: { kind: "sftp", host: "10.0.0.7", path: "/", port: 2222, user: "me", sshConfig: undefined },
      },
    ]);
  });

  test("the rpo of a schedule is an objective", () => {
    expect(policy("often")?.objectives).toEqual({ rpo: 14_400_000, offsiteRpo: undefined });
  });

  test("a source that contains Stillpoint's own folders leaves them out", () => {
    const text = minimal
      .replace("path: /etc }", "path: /var }")
      .replace("sources:", "replicas: { a: { path: /var/r }, b: { path: /mnt } }\nsources:");
    expect(loadConfig(text, "x.yaml").sources[0]).toMatchObject({
      leaveOut: ["/var/lib/stillpoint/repository", "/var/lib/stillpoint/state", "/var/r"],
    });
  });

  test("relative paths begin at the file's folder", () => {
    const text = minimal.replace("/var/lib/stillpoint/repository", "data/../repository/");
    expect(loadConfig(text, "/srv/sp/stillpoint.yaml").repository).toMatchObject({
      path: "/srv/sp/repository",
      state: "/srv/sp/state",
    });
  });

  test("anchors and aliases stand for what they name", () => {
    const aliased = minimal
      .replace("path: /etc }", "path: &etc /etc }")
      .replace("policies:", "  again: { directory: { path: *etc } }\npolicies:")
      .replace("[etc]", "[etc, again]");
    expect(loadConfig(aliased, "x.yaml").sources[1]).toMatchObject({ name: "again", path: "/etc" });
  });

  test("folders may have names that begin alike", () => {
    const text = minimal
      .replace("sources:", "replicas: { a: { path: /var/lib/stillpoint/repository-2 } }\nsources:")
      .replace("path: /etc }", "path: /var/lib/stillpoint/repository-2x }");
    expect(loadConfig(text, "x.yaml").sources[0]).toMatchObject({ leaveOut: [] });
  });

  test("IPv6 addresses lose their brackets", () => {
    expect(loadConfig(`${minimal}daemon: { listen: "[::1]:0" }\n`, "x").daemon.listen).toEqual({
      host: "::1",
      port: 0,
    });
  });

  test("what nobody uses is a warning", () => {
    const text = minimal.replace(
      "sources:",
      "replicas:\n  usb: { path: /mnt/usb }\nsources:\n  home: { directory: { path: /home } }",
    );
    expect(loadConfig(text, "x.yaml").warnings).toEqual([
      "x.yaml:5:3: no policy names `usb`: nothing is sent there",
      "x.yaml:7:3: no policy names `home`: it is never captured",
    ]);
  });

  test("a lock that may end before the next check is a warning", () => {
    const locked = readFileSync(join(folder, "examples/locked-bucket.yaml"), "utf8");
    const checksMonthly = locked.slice(0, locked.indexOf("maintenance:"));
    const warningsOf = (text: string): readonly string[] => loadConfig(text, "x.yaml").warnings;
    expect(warningsOf(checksMonthly)).toEqual([
      expect.stringMatching(/^x\.yaml:23:\d+: checks are up to 31d apart, so a lock of 30d may have ended before/),
    ]);
    expect(warningsOf(checksMonthly.replace("lock: 30d", "lock: 40d"))).toEqual([]);
    expect(warningsOf(`${checksMonthly}maintenance: { check: { schedule: { manual: true } } }\n`)).toEqual([]);
  });

  test("a replica that locks, and no policy that does, is a warning", () => {
    const bucket = "{ s3: { bucket: abc, region: x }, object_lock: governance }";
    const text = minimal.replace("sources:", `replicas:\n  vault: ${bucket}\nsources:`).trimEnd();
    const { warnings } = loadConfig(`${text}\n    replicate: { vault: {} }\n`, "x.yaml");
    expect(warnings).toEqual(["x.yaml:5:44: no policy has a `lock` for `vault`: nothing is locked there"]);
  });
});

describe("messages", () => {
  test("one mistake doesn't hide another of a different kind", () => {
    const message = messageFor(
      minimal.replace("[etc]", "[ect]").replace("hourly: 24", "hourly: x").replace("version: 1", "version: 9"),
    );
    expect(message.match(/^stillpoint\.yaml:\d+:\d+: /gm)).toHaveLength(3);
    expect(message).toContain("did you mean `etc`?");
  });

  test("values of environment variables are never shown, not even where the YAML is broken", () => {
    const text = "sources: { a: { command: { environment: { PASSWORD: hunter2 }, ]";
    expect(messageFor(text)).not.toContain("hunter2");
  });

  test("control characters don't reach the terminal", () => {
    const message = messageFor(`${minimal}"x\\e[31m": 1 # \u001b[31m \u202e\n`, "a\u001b[31m.yaml");
    expect(message.replaceAll("\n", "")).toMatch(/^[\P{C}]+$/u);
  });

  test("of a very long line, the part around the mistake is shown, with the caret under it", () => {
    const text = `${minimal}daemon: { log_level: info, ${" ".repeat(3000)}concurency: 2, ${" ".repeat(3000)} }\n`;
    const [, line, marks] = messageFor(text).split("\n");
    expect(line?.length).toBeLessThan(170);
    expect(line?.slice(marks?.indexOf("^"))).toMatch(/^concurency/);
  });

  test("no more than fifty are shown", () => {
    const many = Array.from({ length: 80 }, (_, index) => `zz${index}: 1`).join("\n");
    const message = messageFor(`${minimal}${many}\n`);
    expect(message.match(/unknown setting/g)).toHaveLength(50);
    expect(message).toContain("80 problems, of which the first 50 are shown");
  });

  test.each([
    [
      "6:44: with a timeout of 5h this could outlast the grace period of 5h",
      minimal
        .replace("policies:", "  dump: { command: { run: [dump], timeout: 5h } }\npolicies:")
        .replace("[etc]", "[etc, dump]")
        .concat("maintenance: { grace: 5h }\n"),
    ],
    ["too large", "#".repeat(256 * 1024 + 1)],
    [":1:1: the file is empty", "\n\n"],
    [":4:1: this key is there twice", "version: 1\n\n\nversion: 1"],
    ["nested too deep", "[".repeat(100_000)],
    ["nested too deep", "- ".repeat(40) + "x"],
    ["nested too deep", "&a [*a]"],
    ["a key must be a plain word", "? [a]\n: b"],
    ["a key must be a plain word", "__proto__: 1"],
    ["Unresolved tag", "version: !secret 1"],
    ["expected a map of settings, found a list", "[]"],
  ])("%s", (expected, text) => expect(messageFor(text)).toContain(expected));
});

describe("any text", () => {
  const line = fc.constantFrom(...valid.flatMap((text) => text.split("\n")));
  const fragment = fc.oneof(
    fc.constantFrom(
      "[",
      "]",
      "{",
      "}",
      ":",
      "- ",
      "\n",
      "&a ",
      "*a",
      "|",
      ">",
      "'",
      '"',
      "#",
      "!",
      "? ",
      "null",
      "-1",
      "1e999",
      "\t",
      "\0",
      "<<",
    ),
    fc.constantFrom(
      "0s",
      "1h",
      "99999999d",
      "* * * * *",
      "* * 1 * 1",
      "0 0 L-30 2 *",
      "1-999999999 * * * *",
      "constructor",
      "toString",
    ),
    fc.string({ maxLength: 5, unit: "binary" }),
    line,
  );
  /** Valid files with parts of them removed, repeated, replaced or moved. */
  const mutated = fc
    .record({
      text: fc.constantFrom(...valid),
      edits: fc.array(
        fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), length: fc.nat({ max: 30 }), insert: fragment }),
        {
          minLength: 1,
          maxLength: 4,
        },
      ),
    })
    .map(({ text, edits }) =>
      edits.reduce((result, { at, length, insert }) => {
        const start = Math.floor(at * result.length);
        return result.slice(0, start) + insert + result.slice(start + length);
      }, text),
    );

  /** Every scalar of a valid file may become another one, so that the YAML stays sound and the meaning doesn't. */
  const rewritten = fc
    .record({
      text: fc.constantFrom(...valid),
      number: fc.nat({ max: 200 }),
      value: fc.oneof(
        fragment,
        fc.constantFrom("{}", "[]", "[[]]", "true", "0", "-1", "2.5", "~", "{ a: 1 }", "~/x", "/", ".."),
      ),
    })
    .map(({ text, number, value }) => {
      let index = 0;
      return text.replace(/(?<=[:[,{] ?)[A-Za-z0-9/"*.-]+/g, (scalar) => (index++ === number ? value : scalar));
    });

  /** What comes of `text`; anything else that is thrown fails the test. */
  function outcome(text: string): string {
    try {
      return JSON.stringify(loadConfig(text, "x.yaml"));
    } catch (error) {
      if (isStillpointError(error, "config_invalid")) return error.message;
      throw error;
    }
  }

  test("is either a configuration or a list of problems, always the same", () => {
    fc.assert(
      fc.property(fc.oneof(mutated, rewritten), (text) => {
        const first = outcome(text);
        expect(first).toMatch(/^\{"repository"|^x\.yaml:\d+:\d+: /);
        expect(first).not.toMatch(/\n\s+at .*:\d+:\d+/);
        expect(outcome(text)).toBe(first);
      }),
      { numRuns: 150 },
    );
  });
});
