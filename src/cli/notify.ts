import { Argument } from "commander";
import { askNotifyTest } from "../daemon/control-client.ts";
import { exitStatus } from "../errors.ts";
import { channelNames } from "../notify/notice.ts";
import { testChannels } from "../notify/test-channels.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { addConfigOption } from "./open-location.ts";
import { type ConfigFlags, readConfig } from "./read-config.ts";

interface TestFlags extends ConfigFlags {
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addConfigOption(command.command("test"))
    .summary("send a test by webhook and mail")
    .description("Sends a test by webhook and mail, or by the named channel. A running daemon sends it.")
    .addArgument(
      new Argument("[channel]", "a ping is sent only when it is named, since it says that all is well").choices(
        channelNames,
      ),
    )
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  stillpoint notify test\n  stillpoint notify test ping")
    .action(async (channel: string | undefined, flags: TestFlags) => await test(cli, channel, flags));
};

async function test(cli: Cli, channel: string | undefined, flags: TestFlags): Promise<void> {
  const { clock, signal, output } = cli;
  const { daemon, repository } = await readConfig(flags, cli);
  const tested =
    (await askNotifyTest(repository.state, { channel, signal })) ??
    (await testChannels(channel, daemon.notify, { clock, signal }));
  const failed = tested.filter(({ error }) => error !== undefined).length;
  if (failed > 0) cli.exit = failed < tested.length ? exitStatus.partial : exitStatus.failed;
  if (flags.json === true)
    return output.json(tested.map((one) => ({ channel: one.channel, error: one.error ?? null })));
  for (const { channel: name, error } of tested) output.print(`${name}: ${error ?? "sent"}`);
}
