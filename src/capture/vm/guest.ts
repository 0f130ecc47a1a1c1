/** A connection to a guest, and the process that runs it. */
import { findQemu, type QemuProcess } from "../../qemu/qmp-peer.ts";
import { Qmp } from "../../qemu/qmp.ts";

export interface Guest {
  readonly qmp: Qmp;
  readonly process: QemuProcess;
}

/** Throws `vm_unreachable` or `cancelled`. */
export async function openGuest(socket: string, signal?: AbortSignal): Promise<Guest> {
  const process = await findQemu(socket);
  return { process, qmp: await Qmp.connect(socket, { signal }) };
}
