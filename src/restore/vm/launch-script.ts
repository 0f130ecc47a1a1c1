/** The program that starts a restored machine: a shell script beside its disks, since nothing else is sure to be there. */
import type { Launch } from "./launch.ts";

export interface LaunchScript {
  /** Shown in it. */
  readonly title: string;
  /** With the state: exactly where it was. Undefined when memory wasn't captured, or why it can't be. */
  readonly resumed: Launch | string | undefined;
  /** From the disks alone. */
  readonly cold: Launch | string;
  /** Whether QEMU leaves the machine paused when it is loaded. */
  readonly waits: boolean;
}

/** All paths in it are relative to its own folder, so that this can be moved. */
export function launchScript({ title, resumed, cold, waits }: LaunchScript): string {
  const start = resumed ?? cold;
  const lines = [
    "#!/bin/sh",
    ...title.split("\n").map((line) => `# ${line}`.trimEnd()),
    "set -eu",
    'cd -P -- "$(dirname -- "$0")"',
    "umask 077",
    "",
    ...(resumed === undefined ? [] : [...coldBranch(cold), ...refuseChanged]),
    ...(waits ? ['echo "The machine waits: tell it to go on by QMP (cont) in qmp.sock." >&2'] : []),
    command(start, resumed === undefined ? "" : " 3<state"),
    "",
  ];
  return lines.join("\n");
}

/** Memory and disks must be of one instant, or the guest destroys its file systems. */
const refuseChanged = [
  "for image in disks/* memory/*; do",
  '  if [ -e "$image" ] && [ "$image" -nt state ]; then',
  "    cat >&2 <<'END'",
  "The machine was resumed from here before: its disks have moved on, and its memory has not. To resume that instant",
  "again, restore it again. To boot from the disks as they are now: STILLPOINT_COLD=1 ./launch.sh",
  "END",
  "    exit 1",
  "  fi",
  "done",
  "",
];

function coldBranch(cold: Launch | string): string[] {
  return ['if [ -n "${STILLPOINT_COLD:-}" ]; then', command(cold, "", "  "), "fi", ""];
}

/** A word may have line breaks, so only what is put before it here is indented. */
function command(launch: Launch | string, input: string, indent = ""): string {
  if (typeof launch === "string")
    return [`printf '%s\\n' ${quote(launch)} >&2`, "exit 1"].map((line) => indent + line).join("\n");
  const [program = "", ...args] = launch.argv;
  const name = program.slice(program.lastIndexOf("/") + 1);
  const lines = [
    `qemu=${quote(program)}`,
    `command -v "$qemu" >/dev/null || qemu=${quote(name)}`,
    'exec "$qemu" \\',
    ...pairs(args).map((words) => `  ${words.map(quote).join(" ")} \\`),
    `  "$@"${input}`,
  ];
  return lines.map((line) => indent + line).join("\n");
}

/** An option and its value on one line. */
function pairs(args: readonly string[]): string[][] {
  const lines: string[][] = [];
  for (const word of args) {
    const last = lines.at(-1);
    if (last?.length === 1 && last[0]?.startsWith("-") === true && !word.startsWith("-")) last.push(word);
    else lines.push([word]);
  }
  return lines;
}

/** For a POSIX shell. */
function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
