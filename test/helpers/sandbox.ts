import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

const project = join(import.meta.dirname, "../..");

/** All that scripts in a sandbox find of the machine: above all, not its Node, its apt-get or its npm. */
const systemPrograms = "cat chmod cp dirname find flock grep head ls mkdir mktemp mv readlink rm sh tail touch".split(
  " ",
);

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Sandbox {
  readonly root: string;
  /** Writes a file; a text that begins with "#!" makes it executable. */
  write(path: string, text: string): void;
  /** Copies files of the project to the same place here. */
  copy(...paths: readonly string[]): void;
  /** Removes a file or folder. */
  remove(path: string): void;
  /** Runs a program, with the sandbox's `path/` and then the programs of the system as PATH, or another PATH. */
  run(command: readonly [string, ...string[]], path?: readonly string[]): Outcome;
}

/** A folder that stands for a clone of the project, for tests of its shell scripts; removed when the test is over. */
export function sandbox(): Sandbox {
  const root = mkdtempSync(join(tmpdir(), "stillpoint-sandbox-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, "system"));
  for (const program of systemPrograms) symlinkSync(`/bin/${program}`, join(root, "system", program));
  return {
    root,
    write(path, text) {
      const file = join(root, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
      if (text.startsWith("#!")) chmodSync(file, 0o755);
    },
    copy(...paths) {
      for (const path of paths) cpSync(join(project, path), join(root, path), { recursive: true });
    },
    remove(path) {
      rmSync(join(root, path), { recursive: true });
    },
    run([program, ...args], path = ["path"]) {
      const PATH = [...path, "system"].map((folder) => join(root, folder)).join(":");
      const { status, stdout, stderr } = spawnSync(program, args, {
        cwd: root,
        env: { PATH, ROOT: root },
        encoding: "utf8",
      });
      return { status, stdout, stderr };
    },
  };
}

/** A program that says it is Node of some version, and else prints how it was called. */
export function fakeNode(version: string, name = "node"): string {
  return `#!/bin/sh
[ "$1" = --version ] && { echo v${version}; exit; }
printf '%s' "${name}"
printf ' [%s]' "$@"
echo
`;
}
