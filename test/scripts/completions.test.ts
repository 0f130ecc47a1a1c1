/** The completions, asked in the shells themselves; zsh and fish where they are installed. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readCommandLine } from "../../scripts/manual/command-line.ts";
import { completionFor, type Shell } from "../../scripts/manual/completions.ts";

const folder = mkdtempSync(join(tmpdir(), "stillpoint-completions-"));
const at = (name: string): string => join(folder, name);
/** In the place of the program: what it would say of a configuration, at once. */
const program = at("stillpoint");

beforeAll(async () => {
  const specs = await readCommandLine();
  for (const shell of ["bash", "zsh", "fish"] as const) writeFileSync(at(shell), completionFor(shell, specs));
  const checked = { valid: true, sources: ["etc", "www"], policies: ["nightly", "hourly"], replicas: [], warnings: [] };
  const said = JSON.stringify({ ...checked, replicas: ["usb", "vault"] }, undefined, 2);
  writeFileSync(program, `#!/bin/sh\n[ "$*" = "config check --json" ] && cat <<'END'\n${said}\nEND\n`, { mode: 0o755 });
  mkdirSync(at("files"));
  writeFileSync(at("files/new.yaml"), "");
});

afterAll(() => rmSync(folder, { recursive: true }));

function run(shell: string, script: string): string[] {
  const { stdout, stderr, status } = spawnSync(shell, ["-c", script], { cwd: at("files"), encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout.split("\n").filter((line) => line !== "");
}

const installed = (shell: string): boolean => spawnSync(shell, ["-c", "true"]).status === 0;

const questions: readonly (readonly [typed: string, answers: readonly string[]])[] = [
  ["stat", ["status"]],
  ["config ", ["check", "diff", "accept", "schema"]],
  ["config d", ["diff"]],
  ["config diff --a", ["--against"]],
  ["status --w", ["--watch"]],
  ["run ", ["nightly", "hourly"]],
  ["run n", ["nightly"]],
  ["list --source ", ["etc", "www"]],
  ["list --location ", ["primary", "usb", "vault"]],
  ["restore 3f5a --format q", ["qcow2"]],
  ["restore 3f5a --location u", ["usb"]],
  ["config diff n", ["new.yaml"]],
  ["boot st", ["stop"]],
  ["notify test p", ["ping"]],
];

describe("bash", () => {
  const complete = (typed: string): string[] => {
    const words = [program, ...typed.split(" ")].map((word) => `'${word}'`).join(" ");
    const ask = `COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _stillpoint`;
    return run("bash", `. ${at("bash")}; ${ask}; printf '%s\\n' "\${COMPREPLY[@]}"`);
  };

  test.each(questions)("stillpoint %s", (typed, answers) => {
    expect(complete(typed).toSorted()).toEqual(answers.toSorted());
  });

  test("every verb", async () => {
    const [own] = await readCommandLine();
    expect(complete("")).toEqual(own?.subcommands.map(({ name }) => name));
  });

  test("--option=value", () => expect(complete("list --location = u")).toEqual(["usb"]));
});

describe.skipIf(!installed("fish"))("fish", () => {
  test.each(questions)("stillpoint %s", (typed, answers) => {
    const said = run("fish", `source ${at("fish")}; complete -C '${program} ${typed}'`);
    expect(said.map((line) => line.split("\t", 1).join("")).toSorted()).toEqual(answers.toSorted());
  });
});

describe.skipIf(!installed("zsh"))("zsh", () => {
  /** What the completion system is asked for; answering is its own business. */
  const asked = (typed: string): string => {
    const stubs =
      '_arguments() { print -rl -- "$@" }; _describe() { print -rl -- "$verbs[@]" }; compadd() { print -rl -- $names }';
    const words = [program, ...typed.split(" ")].map((word) => `'${word}'`).join(" ");
    return run("zsh", `${stubs}; words=(${words}); CURRENT=$#words; . ${at("zsh")}`).join("\n");
  };

  test("verbs, verbs of verbs, options and their values", () => {
    expect(asked("")).toContain("1:verb:_stillpoint_verbs");
    expect(asked("config ")).toContain("1:verb:_stillpoint_verbs");
    expect(asked("config diff ")).toContain("--against[");
    expect(asked("run ")).toContain("*:policy:{_stillpoint_names policies}");
    expect(asked("restore x ")).toContain("--format[of a virtual machine's disks (choices\\: ");
  });

  test("names come from the configuration", () => {
    const stubs = "_arguments() { _stillpoint_names replicas primary }; compadd() { print -rl -- $names }";
    expect(run("zsh", `${stubs}; words=(${program} list ''); CURRENT=3; . ${at("zsh")}`)).toEqual([
      "primary",
      "usb",
      "vault",
    ]);
  });
});

test.each((["bash", "zsh", "fish"] satisfies Shell[]).filter(installed))("%s has nothing against it", (shell) => {
  expect(spawnSync(shell, ["-n", at(shell)], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
});
