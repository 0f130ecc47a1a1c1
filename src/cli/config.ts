import * as path from "node:path";
import { loadConfig } from "../policy/load.ts";
import { configSchemaText } from "../policy/json-schema.ts";
import type { DefineVerb } from "./cli.ts";
import { count } from "./format.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, configPath, readConfigText } from "./read-config.ts";

interface CheckFlags extends ConfigFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.command("check"))
    .summary("check a configuration file")
    .description("Checks a configuration file, and shows every problem at its place. Touches nothing else.")
    .argument("[file]", "instead of the configuration that the other verbs would use")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  stillpoint config check new.yaml")
    .action(async (file: string | undefined, flags: CheckFlags) => {
      const chosen = file === undefined ? configPath(flags, cli) : path.resolve(file);
      const { sources, policies, replicas, warnings } = loadConfig(await readConfigText(chosen), chosen);
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

  command
    .command("schema")
    .summary("print the JSON Schema of the configuration")
    .description("Prints the JSON Schema of the configuration, for editors and other tools.")
    .addHelpText("after", "\nExample:\n  stillpoint config schema > stillpoint.schema.json")
    .action(() => cli.output.print(configSchemaText().trimEnd()));
};
