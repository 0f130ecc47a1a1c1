/** The command line as a whole: finds the verb, runs it, and says how that ended. */
import { Command, CommanderError, Help, type Option } from "commander";
import { exitStatus } from "../errors.ts";
import type { Cli } from "./cli.ts";
import { explainError } from "./explain-error.ts";
import { OutputClosed } from "./output.ts";
import { verbGroups } from "./verbs.ts";
import { version } from "./version.ts";
import { wrap } from "./wrap.ts";

const after = `
Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 partly done, 4 damage found, 5 busy.
The configuration is /etc/stillpoint/stillpoint.yaml, unless --config or STILLPOINT_CONFIG names another.
"stillpoint VERB --help" explains a verb, with examples.`;

/** Runs the verb that `argv` names, to its end. Prints errors; never throws. Returns the exit status. */
export async function runProgram(argv: readonly string[], cli: Cli): Promise<number> {
  const program = makeProgram(cli).hook("preSubcommand", async (_, command) => {
    const verb = verbs.get(command.name());
    if (verb !== undefined) (await verb.load()).define(command, cli);
  });
  try {
    await program.parseAsync(argumentsOf(argv), { from: "user" });
    return cli.exit;
  } catch (error) {
    if (error instanceof OutputClosed) return cli.exit;
    if (error instanceof CommanderError) return endOfCommander(error, argumentsOf(argv), program, cli);
    const debug = (cli.environment["STILLPOINT_DEBUG"] ?? "") !== "";
    const { text, exit } = explainError(error, { environment: cli.environment, debug });
    cli.output.note(text);
    return exit;
  }
}

/** The whole command line with every verb loaded: for what is made from it, such as the manual page. */
export async function loadProgram(cli: Cli): Promise<Command> {
  const program = makeProgram(cli);
  for (const command of program.commands) (await verbs.get(command.name())?.load())?.define(command, cli);
  return program;
}

/** What other tools call our options. */
const optionsElsewhere: Readonly<Record<string, string>> = {
  "--from": "--location",
  "--repo": "--repository",
  "--password-file": "--passphrase-file",
  "--target": "--to",
  "--include": "--path",
};

/** What other tools call our verbs. */
const elsewhere: Readonly<Record<string, string>> = {
  backup: "run",
  snapshot: "run",
  create: "run",
  snapshots: "list",
  info: "show",
  find: "ls",
  dump: "cat",
  extract: "restore",
  mount: "serve",
  delete: "forget",
  compact: "sweep",
  copy: "replicate",
  sync: "replicate",
  verify: "check",
  stats: "status",
  version: "--version",
};

const verbs = new Map(Object.values(verbGroups).flatMap((group) => group.map((verb) => [verb.name, verb])));

function makeProgram(cli: Cli): Command {
  const program = new Command("stillpoint")
    .description(
      "Disaster recovery for one Linux host: static snapshots on schedule, replicated, proven, measured by their age.",
    )
    .usage("VERB [options]")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "explain")
    .helpCommand(false)
    // What stands behind a verb is the verb's, and what stands behind a verb of a verb is that one's.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => cli.output.print(fitParagraphs(text.trimEnd(), cli.output.width)),
      writeErr: (text) => cli.output.note(fitParagraphs(text.trimEnd(), cli.output.width)),
      // Said in our own way by endOfCommander.
      outputError: () => undefined,
      getOutHelpWidth: () => helpWidth(cli),
      getErrHelpWidth: () => helpWidth(cli),
    })
    .configureHelp({ optionDescription: describeOption })
    .addHelpText("after", after);
  for (const [group, members] of Object.entries(verbGroups)) {
    program.commandsGroup(group);
    for (const { name, summary } of members)
      program
        .command(name)
        .summary(summary)
        .description(`${capital(summary)}.`)
        .helpCommand(false);
  }
  return program;
}

/**
 * `help list` is `list --help`: commander's own help verb would explain a verb before its options are loaded. Of a verb that there
 * is not there is nothing to explain.
 */
function argumentsOf(argv: readonly string[]): readonly string[] {
  const [first = "", ...rest] = argv[0] === "help" ? [...argv.slice(1), "--help"] : argv;
  return first.startsWith("-") || first === "" || verbs.has(first) ? [first, ...rest].filter(Boolean) : [first];
}

function helpWidth({ output }: Cli): number {
  return Math.min(output.width ?? 100, 110);
}

/** An empty default says nothing. */
function describeOption(option: Option): string {
  const isEmpty =
    option.defaultValue === "" || (Array.isArray(option.defaultValue) && option.defaultValue.length === 0);
  const description = isEmpty ? option.description : Help.prototype.optionDescription(option);
  return option.mandatory ? `${description} (needed)` : description;
}

/** Help is written in lines that are wider than some terminals: there its paragraphs are broken anew. What is indented stays as it is. */
function fitParagraphs(text: string, width = Number.POSITIVE_INFINITY): string {
  return text.replace(/(?:^\S.*\n?)+/gm, (paragraph) => {
    const lines = paragraph.trimEnd().split("\n");
    if (lines.every((line) => line.length <= width)) return paragraph;
    return `${wrap(lines.join(" "), width, "").join("\n")}${paragraph.endsWith("\n") ? "\n" : ""}`;
  });
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What commander has to say: help that was asked for, or what is wrong with the command line. */
function endOfCommander(error: CommanderError, argv: readonly string[], program: Command, { output }: Cli): number {
  if (error.exitCode === 0) return exitStatus.ok;
  // Help because the verb lacks has been printed already.
  if (error.code !== "commander.help") {
    const [what = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
    output.note(`stillpoint: ${what.replace(/\.$/, "")}.`);
    const advice = adviceElsewhere(error, argv) ?? suggestion?.replace(/^\((.*)\)$/, "$1");
    output.note(advice ?? `See \`${helpFor(argv, program)} --help\`.`);
  }
  return exitStatus.usage;
}

/** For whoever comes from another tool. */
function adviceElsewhere({ message }: CommanderError, argv: readonly string[]): string | undefined {
  const [first = ""] = argv;
  const verb = Object.hasOwn(elsewhere, first) ? elsewhere[first] : undefined;
  if (verb !== undefined) return `Here it is \`stillpoint ${verb}\`.`;
  if (first.startsWith("-") && argv.some((word) => verbs.has(word)))
    return `Options stand behind the verb: \`stillpoint VERB ${first} …\`. See \`stillpoint --help\`.`;
  const [, option = ""] = /unknown option '(--[a-z-]+)/.exec(message) ?? [];
  const ours = verbs.has(first) && Object.hasOwn(optionsElsewhere, option) ? optionsElsewhere[option] : undefined;
  return ours === undefined ? undefined : `Here it is ${ours}.`;
}

/** As much of the command line as names a verb, or a verb of a verb. */
function helpFor([first = "", second = ""]: readonly string[], program: Command): string {
  const verb = program.commands.find((command) => command.name() === first);
  const inner = verb?.commands.find((command) => command.name() === second);
  return ["stillpoint", verb?.name(), inner?.name()].filter((name) => name !== undefined).join(" ");
}
