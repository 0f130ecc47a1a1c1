/** The manual page stillpoint(1), in the language of man(7). */
import { errorTable, exitStatus } from "../../src/errors.ts";
import { version } from "../../src/cli/version.ts";
import type { CommandSpec } from "./command-line.ts";

/** `date` is that of the page: `2026-11-22`. */
export function manPage([program, ...commands]: readonly CommandSpec[], date: string): string {
  if (program === undefined) throw new Error("there is no program");
  return [
    `.TH STILLPOINT 1 ${date} "Stillpoint ${version}" "User Commands"`,
    ".SH NAME",
    "stillpoint \\- disaster recovery for one Linux host",
    ".SH SYNOPSIS",
    ".B stillpoint",
    "\\fIVERB\\fR [\\fIoptions\\fR]",
    ".SH DESCRIPTION",
    ...paragraphs(program.description).slice(1),
    ...paragraphs(
      "A policy says which sources are captured, when, how long each recovery point is kept and where else. The daemon does it; every verb works without it too. Results go to standard output, all else to standard error.",
    ),
    ".SH VERBS",
    ...verbSections(commands),
    ...exitSection(),
    ".SH ENVIRONMENT",
    ...environment.flatMap(([name, text]) => term(name, text)),
    ".SH FILES",
    ...files.flatMap(([name, text]) => term(name, text)),
    ".SH SEE ALSO",
    "\\fBqemu\\-nbd\\fR(8), \\fBsystemctl\\fR(1), and operations.md, offsite.md, runbook.md, security.md and format.md of the",
    "documentation.",
    "",
  ].join("\n");
}

function verbSections(commands: readonly CommandSpec[]): string[] {
  let group = "";
  return commands.flatMap((command) => {
    const begins = command.path.length === 1 && command.group !== group;
    if (begins) group = command.group;
    return [...(begins ? [`.SS ${roff(group.replace(/:$/, ""))}`] : []), ...verbSection(command)];
  });
}

function verbSection({ usage, description, options, text, examples }: CommandSpec): string[] {
  const shown = options.filter(({ long }) => long !== "--help");
  return [
    ".TP",
    `.B ${roff(usage)}`,
    ...paragraphs(description).slice(1),
    ...(text === "" ? [] : [".IP", ...paragraphs(text).slice(1)]),
    ...(shown.length === 0 ? [] : [".RS"]),
    ...shown.flatMap((option) => term(option.flags, `${option.description}.`)),
    ...(shown.length === 0 ? [] : [".RE"]),
    ...(examples.length === 0 ? [] : [".IP", ".EX", ...examples.map(line), ".EE"]),
  ];
}

const meanings: Record<keyof typeof exitStatus, string> = {
  ok: "done",
  failed: "failed",
  usage: "wrong usage or configuration; nothing was done",
  partial: "partly done: some sources, replicas or attributes failed, the others are done",
  damage: "damage found",
  busy: "busy: another process does the same work just now",
};

function exitSection(): string[] {
  const statuses = Object.entries(exitStatus).flatMap(([name, status]) => {
    const errors = Object.entries(errorTable).filter(([, { exit }]) => exit === status);
    const list = errors.flatMap(([code, { sentence }]) => term(code, sentence));
    const meaning = meanings[name as keyof typeof meanings];
    return [...term(String(status), `${meaning}.`), ...(list.length === 0 ? [] : [".RS", ...list, ".RE"])];
  });
  const interrupted =
    "ended at once, by a second SIGINT or SIGTERM; the first one ends the work cleanly, with status 1.";
  return [".SH EXIT STATUS", ...statuses, ...term("130", interrupted)];
}

const environment = [
  ["STILLPOINT_CONFIG", "The configuration, unless --config names one."],
  ["STILLPOINT_DEBUG", "Anything but nothing: errors say where in the code they come from."],
  ["NO_COLOR", "Anything but nothing: no colours."],
  ["TERM", "With the value dumb: no colours, and nothing is drawn over."],
  ["CREDENTIALS_DIRECTORY", "Where systemd puts the credentials that the configuration names."],
] as const;

const files = [
  ["/etc/stillpoint/stillpoint.yaml", "The configuration, unless another is named."],
  ["/etc/stillpoint/repository.key", "The key that init makes, for root only. Without a key nothing can be restored."],
  ["/var/lib/stillpoint/repository", "The repository that init makes."],
  ["/var/lib/stillpoint/state", "What can be found out again, and control.sock, by which the daemon is asked."],
] as const;

function term(name: string, text: string): string[] {
  return [".TP", `.B ${roff(name)}`, line(text)];
}

/** Text whose paragraphs have an empty line between them; lists and such keep their lines. */
function paragraphs(text: string): string[] {
  return text.split(/\n\n+/).flatMap((paragraph) => {
    const lines = paragraph.split("\n");
    return lines.some((one) => /^\s/.test(one))
      ? [".PP", ".EX", ...lines.map(line), ".EE"]
      : [".PP", ...lines.map(line)];
  });
}

/** A line of text: none may begin as a request does. */
function line(text: string): string {
  return roff(text).replace(/^(?=[.'])/, "\\&");
}

/** ASCII as it is: what is copied from the page must be what was meant. */
function roff(text: string): string {
  const glyphs: Readonly<Record<string, string>> = {
    "\\": "\\e",
    "-": "\\-",
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
    '"': "\\(dq",
  };
  return text.replaceAll(/[\\\-'`^~"]/g, (character) => glyphs[character] ?? character);
}
