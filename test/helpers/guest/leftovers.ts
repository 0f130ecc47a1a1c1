/** What a capture may have left in a guest, for a test that it was nothing. */
import * as fs from "node:fs";
import { listeningPaths } from "../../../src/qemu/qmp-peer.ts";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { rescueGuest } from "../../../src/qemu/userfaultfd.ts";
import type { Guest } from "./qemu.ts";

/** Everything of a guest that a capture changes for its time, to be compared with how it was. */
export async function describeGuest(guest: Guest, spool: string): Promise<object> {
  await using qmp = await Qmp.connect(guest.qmp, { timeout: 60_000 });
  const { status } = await qmp.execute<{ status: string }>("query-status");
  const nodes = await qmp.execute<{ "node-name": string; file: string }[]>("query-named-block-nodes", { flat: true });
  const devices = await qmp.execute<{ qdev: string; inserted?: { "node-name": string } }[]>("query-block");
  const migration = await qmp.execute<{ status?: string }>("query-migrate");
  return {
    status,
    nodes: nodes.map((node) => node["node-name"]).toSorted(),
    devices: devices.map(({ qdev, inserted }) => `${qdev} ${inserted?.["node-name"] ?? ""}`).toSorted(),
    exports: await qmp.execute("query-block-exports"),
    jobs: await qmp.execute("query-jobs"),
    capabilities: await qmp.execute("query-migrate-capabilities"),
    parameters: await qmp.execute("query-migrate-parameters"),
    saving: ["setup", "active", "device", "cancelling"].includes(migration.status ?? "none"),
    sockets: (await listeningPaths(guest.pid)).toSorted(),
    protectedMemory: await rescueGuest(guest.pid),
    files: fs.existsSync(spool) ? fs.readdirSync(spool) : [],
  };
}
