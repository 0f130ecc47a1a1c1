import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { verbGroups } from "../../src/cli/verbs.ts";
import { stillpoint, temporaryFolder } from "./harness.ts";

const verbs = Object.values(verbGroups)
  .flat()
  .map(({ name }) => name);

describe("what can't be understood is wrong usage, and says what might be meant", () => {
  test.each([
    [["restor"], "unknown command 'restor'.\nDid you mean restore?\n"],
    [["list", "--sorce", "etc"], "unknown option '--sorce'.\nDid you mean --source?\n"],
    [["config", "chekc"], "unknown command 'chekc'.\nDid you mean check?\n"],
    [["show"], "missing required argument 'id'.\nSee `stillpoint show --help`.\n"],
    [["show", "a", "b"], "too many arguments for 'show'. Expected 1 argument but got 2"],
    [["list", "--source"], "option '--source <name>' argument missing.\nSee `stillpoint list --help`.\n"],
    [["mount", "latest"], "unknown command 'mount'.\nHere it is `stillpoint serve`.\n"],
    [
      ["--config", "x", "run"],
      "unknown option '--config'.\nOptions stand behind the verb: `stillpoint VERB --config …`.",
    ],
    [["help", "restor"], "unknown command 'restor'.\nDid you mean restore?\n"],
    [["restor", "--help"], "unknown command 'restor'.\nDid you mean restore?\n"],
    [["boot", "stop"], "missing required argument 'name'.\nSee `stillpoint boot stop --help`.\n"],
    [["key", "remove"], "missing required argument 'id'.\nSee `stillpoint key remove --help`.\n"],
    [["config", "xyzzy"], "unknown command 'xyzzy'.\nSee `stillpoint config --help`.\n"],
    [["notify", "--frobnicate"], "unknown option '--frobnicate'.\nSee `stillpoint notify --help`.\n"],
    [["notify", "test", "pigeon"], "Allowed choices are webhook, email, ping.\n"],
    [["restore", "latest", "--to", "x", "--from", "usb"], "unknown option '--from'.\nHere it is --location.\n"],
    [["help", "backup"], "unknown command 'backup'.\nHere it is `stillpoint run`.\n"],
    [["list", "--location", "usb", "--repository", "/r"], "Cannot take both --repository and --location usb"],
    [["repair", "--replica", "/r"], "Cannot use --replica without --repository"],
    [["sweep", "--accept-lost", "3f5a"], "Give the whole id, 32 hexadecimal digits"],
    [["--frobnicate"], "unknown option '--frobnicate'.\nSee `stillpoint --help`.\n"],
  ])("%j", async (args, message) => {
    const { status, stdout, stderr } = await stillpoint(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^stillpoint: /);
    expect(stderr).toContain(message);
  });

  test.each([[[]], [["config"]], [["key"]]])("a verb lacks: %j prints the help where errors go", async (args) => {
    const { status, stdout, stderr } = await stillpoint(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/^Usage: stillpoint/);
  });
});

describe("help", () => {
  test("says which options are needed", async () => {
    expect((await stillpoint(["restore", "--help"])).stdout).toMatch(/--to <path> .*\n.*\(needed\)/);
  });

  test("lists every verb, and the exit statuses", async () => {
    const { status, stdout } = await stillpoint(["--help"]);
    expect(status).toBe(0);
    for (const verb of verbs) expect(stdout).toMatch(new RegExp(`^  ${verb} `, "m"));
    expect(stdout).toContain(
      "Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 partly done, 4 damage found",
    );
  });

  test.each(verbs)("%s is explained with an example, also by `help`", async (verb) => {
    const { status, stdout } = await stillpoint([verb, "--help"]);
    expect(status).toBe(0);
    expect(await stillpoint(["help", verb])).toEqual({ status: 0, stdout, stderr: "" });
    const subverbs = stdout.includes("\nCommands:\n")
      ? [...(stdout.split("\nCommands:\n")[1]?.split("\n\n")[0] ?? "").matchAll(/^ {2}(\w+) /gm)].map(
          ([, name]) => name ?? "",
        )
      : [undefined];
    for (const subverb of subverbs.filter((name) => name !== "help")) {
      const args = subverb === undefined ? [verb] : [verb, subverb];
      const help = await stillpoint([...args, "--help"]);
      expect(help.stdout).toMatch(new RegExp(`^Examples?:\n(?:  .*\n)*?  .*stillpoint ${args.join(" ")}`, "m"));
    }
  });
});

test("help fits the terminal, but for commands to copy", async () => {
  const { stdout: wide } = await stillpoint(["restore", "--help"]);
  const { stdout: narrow } = await stillpoint(["restore", "--help"], { columns: 72 });
  const prose = narrow.split("\n").filter((line) => !line.startsWith("  stillpoint"));
  expect(Math.max(...prose.map((line) => line.length))).toBeLessThanOrEqual(72);
  const words = (text: string): string[] => text.split(/\s+/);
  expect(words(narrow)).toEqual(words(wide));
  expect(narrow).not.toContain("default: []");
});

test("what other tools call our verbs leads to one that there is", async () => {
  for (const name of ["backup", "snapshots", "mount", "verify"]) {
    const [, meant = ""] = /Here it is `stillpoint (\w+)`/.exec((await stillpoint([name])).stderr) ?? [];
    expect(verbs).toContain(meant);
  }
});

test("--version is one line", async () => {
  const { status, stdout } = await stillpoint(["--version"]);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test("without a configuration: what lacks, and what to do", async () => {
  const { status, stderr } = await stillpoint(["list", "--config", "/nowhere/stillpoint.yaml"]);
  expect(status).toBe(2);
  expect(stderr).toContain("Cannot read the configuration in /nowhere/stillpoint.yaml: there is no such file.");
  expect(stderr).toContain("`stillpoint init`");
});

test.runIf(process.getuid?.() === 0)(
  "a configuration that isn't for this user is one to be read by another",
  async () => {
    const file = join(temporaryFolder(), "stillpoint.yaml");
    writeFileSync(file, "", { mode: 0o600 });
    process.seteuid?.(65534);
    try {
      const { status, stderr } = await stillpoint(["list", "--config", file]);
      expect(status).toBe(2);
      expect(stderr).toContain("permission denied.\nNothing was changed.\nRun it with the rights to read that file");
    } finally {
      process.seteuid?.(0);
    }
  },
);

test("an option beats STILLPOINT_CONFIG, which beats the usual place", async () => {
  const environment = { STILLPOINT_CONFIG: "/by/environment.yaml" };
  expect((await stillpoint(["list"], { environment })).stderr).toContain("/by/environment.yaml");
  expect((await stillpoint(["list", "--config", "/by/option.yaml"], { environment })).stderr).toContain(
    "/by/option.yaml",
  );
  expect((await stillpoint(["list"])).stderr).toContain("/etc/stillpoint/stillpoint.yaml");
});
