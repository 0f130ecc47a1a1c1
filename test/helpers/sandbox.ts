import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { onTestFinished } from "vitest";

const project = join(import.meta.dirname, "../..");

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
  /** Runs a program with the sandbox's own folder `path/` first in PATH. */
  run(command: readonly [string, ...string[]], environment?: Readonly<Record<string, string>>): Outcome;
}

/** A folder that stands for a clone of the project, for tests of its shell scripts; removed when the test is over. */
export function sandbox(): Sandbox {
  const root = mkdtempSync(join(tmpdir(), "stillpoint-sandbox-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
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
    run([program, ...args], environment = {}) {
      const env = { PATH: `${root}/path:/usr/bin:/bin`, HOME: root, ...environment };
      const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, env, encoding: "utf8" });
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
