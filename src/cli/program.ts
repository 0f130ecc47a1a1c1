/** The command line as a whole: finds the verb, runs it, and says how that ended. */
import { Command, CommanderError } from "commander";
import { exitStatus } from "../errors.ts";
import type { Cli } from "./cli.ts";
import { explainError } from "./explain-error.ts";
import { OutputClosed } from "./output.ts";
import { verbGroups } from "./verbs.ts";
import { version } from "./version.ts";

const after = `
Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 partly done, 4 damage found, 5 busy.
The configuration is /etc/stillpoint/stillpoint.yaml, unless --config or STILLPOINT_CONFIG names another.
"stillpoint VERB --help" explains a verb, with examples.`;

/** Runs the verb that `argv` names, to its end. Prints errors; never throws. Returns the exit status. */
export async function runProgram(argv: readonly string[], cli: Cli): Promise<number> {
  try {
    const program = makeProgram(cli).hook("preSubcommand", async (_, command) => {
      const verb = verbs.get(command.name());
      if (verb !== undefined) (await verb.load()).define(command, cli);
    });
    await program.parseAsync(withoutHelpVerb(argv), { from: "user" });
    return cli.exit;
  } catch (error) {
    if (error instanceof OutputClosed) return cli.exit;
    if (error instanceof CommanderError) return endOfCommander(error, argv, cli);
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
      writeOut: (text) => cli.output.print(text.trimEnd()),
      writeErr: (text) => cli.output.note(text.trimEnd()),
      // Said in our own way by endOfCommander.
      outputError: () => undefined,
      getOutHelpWidth: () => helpWidth(cli),
      getErrHelpWidth: () => helpWidth(cli),
    })
    .addHelpText("after", after);
  for (const [group, members] of Object.entries(verbGroups)) {
    program.commandsGroup(group);
    for (const { name, summary } of members)
      program
        .command(name)
        .summary(summary)
        .description(`${capital(summary)}.`);
  }
  return program;
}

/** `help list` is `list --help`: commander's own help verb would explain a verb before its options are loaded. */
function withoutHelpVerb(argv: readonly string[]): readonly string[] {
  return argv[0] === "help" ? [...argv.slice(1), "--help"] : argv;
}

function helpWidth({ output }: Cli): number {
  return Math.min(output.width ?? 100, 110);
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** What commander has to say: help that was asked for, or what is wrong with the command line. */
function endOfCommander(error: CommanderError, [first = ""]: readonly string[], { output }: Cli): number {
  if (error.exitCode === 0) return exitStatus.ok;
  // Help because the verb lacks has been printed already.
  if (error.code !== "commander.help") {
    const [what = "", suggestion] = error.message.replace(/^error: /, "").split("\n");
    output.note(`stillpoint: ${what.replace(/\.$/, "")}.`);
    const help = verbs.has(first) ? `stillpoint ${first} --help` : "stillpoint --help";
    output.note(suggestion?.replace(/^\((.*)\)$/, "$1") ?? `See \`${help}\`.`);
  }
  return exitStatus.usage;
}
