import { once } from "node:events";
import { hostname } from "node:os";
import type { NbdAddress } from "../nbd/server.ts";
import { Reading } from "../repository/points/readers.ts";
import { servePoint } from "../restore/serve/serve-point.ts";
import type { Cli, DefineVerb } from "./cli.ts";
import { loadPoint, pointHelp } from "./find-points.ts";
import { formatBytes, printable } from "./format.ts";
import { loadStore } from "./load-store.ts";
import { addLocationOptions, type LocationFlags, openLocation } from "./open-location.ts";
import { parsePort } from "./parse-port.ts";

interface Flags extends LocationFlags {
  readonly source?: string;
  readonly disk?: string;
  readonly socket?: string;
  readonly port?: number;
  readonly json?: boolean;
}

export const define: DefineVerb = (command, cli) => {
  addLocationOptions(command.argument("<id>", pointHelp))
    .option("--source <name>", "with `latest` or a time: of which source")
    .option("--disk <name>", "only this disk")
    .option("--socket <path>", "where to listen (default: in a new folder under the temporary one)")
    .option("--port <number>", "listen on this port of 127.0.0.1 instead, for every user of this host", parsePort)
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Serves the disks of a point by NBD until it is told to stop (SIGINT, SIGTERM): read-only, nothing is copied, everything is
verified as it is read. Prints the address of each disk. The point isn't forgotten meanwhile.

Examples:
  stillpoint serve 3f5a91c2 --socket /run/point.sock
  qemu-img convert -O qcow2 'nbd+unix:///vda?socket=/run/point.sock' vda.qcow2
  nbdinfo --list 'nbd+unix:///?socket=/run/point.sock'
  guestmount --ro --format=raw -a 'nbd://?socket=/run/point.sock' -i /mnt

From a replica, with the key alone:
  stillpoint serve latest --source web --repository /mnt/usb/stillpoint --key-file repository.key`,
    )
    .action(async (id: string, flags: Flags) => await serve(cli, id, flags));
};

async function serve(cli: Cli, id: string, flags: Flags): Promise<void> {
  const { repository } = await openLocation(cli, flags, { write: true });
  const point = await loadPoint(cli, repository, id, flags);
  const store = await loadStore(cli, repository);
  const onFailure = (message: string): void => cli.output.note(`stillpoint: ${message}`);
  await using undo = new AsyncDisposableStack();
  undo.use(await Reading.begin(repository, point, { reader: `serve on ${hostname()}`, onFailure }));
  const serving = await servePoint({
    repository,
    store,
    point,
    disk: flags.disk,
    address: addressOf(flags),
    onFailure,
  });
  undo.defer(async () => await serving.close());
  if (flags.json === true) cli.output.json({ id: point.id, disks: serving.disks });
  else
    for (const { name, size, uri } of serving.disks)
      cli.output.print(`${printable(name)} (${formatBytes(size)}): ${uri}`);
  if (!cli.signal.aborted) await once(cli.signal, "abort");
}

function addressOf({ socket, port }: Flags): NbdAddress | undefined {
  if (port !== undefined) return { port };
  return socket === undefined ? undefined : { socket };
}
