import * as path from "node:path";
import { exposedSecrets } from "../job/exposed-secrets.ts";
import type { Config } from "../policy/config.ts";
import { loadConfig } from "../policy/load.ts";
import { configSchemaText } from "../policy/json-schema.ts";
import type { DefineVerb } from "./cli.ts";
import type { AcceptFlags } from "./config-accept.ts";
import type { DiffFlags } from "./config-diff.ts";
import { count, printable } from "./format.ts";
import { isThere } from "./make-file.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, configPath, readConfigText } from "./read-config.ts";

interface CheckFlags extends ConfigFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.command("check"))
    .summary("check a configuration file")
    .description(
      "Checks a configuration file and shows every problem at its place; warns of sources that aren't here, and of keys that every user can read. Changes nothing.",
    )
    .argument("[file]", "instead of the configuration that the other verbs would use")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  stillpoint config check new.yaml")
    .action(async (file: string | undefined, flags: CheckFlags) => {
      const chosen = file === undefined ? configPath(flags, cli) : path.resolve(file);
      const config = loadConfig(await readConfigText(chosen), chosen);
      const { sources, policies, replicas } = config;
      const warnings = [...config.warnings, ...(await missingSources(config)), ...(await exposedSecrets(config))];
      for (const warning of warnings) cli.output.note(`${warning} (a warning)`);
      const names = (list: readonly { readonly name: string }[]): string[] => list.map(({ name }) => name);
      if (flags.json === true) {
        const lists = { sources: names(sources), policies: names(policies), replicas: names(replicas) };
        return cli.output.json({ file: chosen, valid: true, ...lists, warnings });
      }
      const parts = [
        count(sources.length, "source"),
        count(policies.length, "policy", "policies"),
        count(replicas.length, "replica"),
      ];
      cli.output.print(`${chosen} is valid: ${parts.join(", ")}`);
    });

  addConfigOption(command.command("diff"))
    .summary("show what a configuration file would change")
    .description(
      "Shows what a file would change, and which recovery points its keep rules would forget. Touches nothing.",
    )
    .argument("[file]", "the new file; by default the configuration that the other verbs would use")
    .option("--against <file>", "compare with this file (default: what the daemon has in force, else the usual file)")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Relative paths in a new file are taken as if it lay in the place of the usual one.

Examples:
  stillpoint config diff new.yaml
  stillpoint config diff --against stillpoint.yaml.old`,
    )
    .action(async (file: string | undefined, flags: DiffFlags) => {
      await (await import("./config-diff.ts")).diffConfig(cli, file, flags);
    });

  addConfigOption(command.command("accept"))
    .summary("let new keep rules forget more than `retention_guard` allows")
    .description(
      "Lets the next prunes forget what new keep rules don't keep, where that is more than `retention_guard` allows at once.",
    )
    .argument("[policy]", "only this policy")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Counts for the rules that are in force now, and ends when they change again. \`stillpoint config diff\` shows before what
will go.

Examples:
  stillpoint config accept
  stillpoint config accept nightly`,
    )
    .action(async (policy: string | undefined, flags: AcceptFlags) => {
      await (await import("./config-accept.ts")).acceptRetention(cli, policy, flags);
    });

  command
    .command("schema")
    .summary("print the JSON Schema of the configuration")
    .description("Prints the JSON Schema of the configuration, for editors and other tools.")
    .addHelpText("after", "\nExample:\n  stillpoint config schema > stillpoint.schema.json")
    .action(() => cli.output.print(configSchemaText().trimEnd()));
};

/** A path that is mistyped shows before its first capture fails. What can't be looked at with these rights may be there. */
async function missingSources({ sources }: Config): Promise<string[]> {
  const warnings: string[] = [];
  for (const source of sources) {
    if (source.kind !== "directory" && source.kind !== "image") continue;
    if (await isThere(source.path).catch(() => true)) continue;
    warnings.push(`the source ${source.name} isn't on this machine: there is no ${printable(source.path)}`);
  }
  return warnings;
}
