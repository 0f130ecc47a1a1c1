import type { DefineVerb } from "./cli.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, configPath } from "./read-config.ts";
import { version } from "./version.ts";

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command)
    .addHelpText(
      "after",
      `
Runs the policies on their schedules until it is told to stop (SIGINT, SIGTERM). Logs to standard output, a line of JSON
each. Reads the configuration again when it is saved, and on SIGHUP; an invalid one changes nothing.

Example:
  stillpoint daemon --config /etc/stillpoint/stillpoint.yaml`,
    )
    .action(async (flags: ConfigFlags) => {
      const { runDaemon } = await import("../daemon/run-daemon.ts");
      await runDaemon({ configFile: configPath(flags, cli), version });
    });
};
