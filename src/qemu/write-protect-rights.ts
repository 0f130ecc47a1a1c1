/** Whether QEMU may protect its guest's memory against writes, as a save of a running guest needs. */

import * as fs from "node:fs/promises";
import type { QemuProcess } from "./qmp-peer.ts";

/** Of the process and of the host, as far as it matters here. */
export interface WriteProtectFacts {
  /** QEMU's major version. */
  readonly major: number;
  /** The effective capabilities (capabilities(7)) as bits, and whether they count on this host rather than in a container. */
  readonly capabilities: bigint;
  readonly ownNamespace: boolean;
  /** The setting vm.unprivileged_userfaultfd. */
  readonly unprivileged: boolean;
  /** Whether the process may open /dev/userfaultfd for reading and writing. */
  readonly device: boolean;
}

/**
 * Why QEMU may not, or undefined when it may. QEMU itself finds the kernel's other limits when the capability
 * `background-snapshot` is set; this says beforehand what an administrator can do about the rights.
 */
export function whyNoWriteProtect(facts: WriteProtectFacts): string | undefined {
  const mayTrace = (facts.capabilities & (1n << capSysPtrace)) !== 0n && !facts.ownNamespace;
  // Since version 8 QEMU opens the device first, whose permissions are all that is asked for.
  if (mayTrace || facts.unprivileged || (facts.device && facts.major >= 8)) return undefined;
  const device = facts.major >= 8 ? ", or give its user the right to open /dev/userfaultfd" : "";
  return `QEMU may not handle the page faults of the kernel. Set the sysctl vm.unprivileged_userfaultfd to 1, or give QEMU the capability CAP_SYS_PTRACE${device}`;
}

/** As `whyNoWriteProtect`, for a process of this host. */
export async function mayWriteProtect(
  process: QemuProcess,
  version: { readonly major: number },
): Promise<string | undefined> {
  const own = `/proc/${String(process.pid)}`;
  const status = await fs.readFile(`${own}/status`, "utf8");
  const capabilities = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  const groups = /^Groups:\s*(.*)$/m.exec(status)?.[1]?.trim().split(" ").map(Number) ?? [];
  return whyNoWriteProtect({
    major: version.major,
    capabilities,
    ownNamespace: (await fs.readlink(`${own}/ns/user`)) !== initialUserNamespace,
    unprivileged: (await fs.readFile("/proc/sys/vm/unprivileged_userfaultfd", "utf8").catch(() => "0")).trim() === "1",
    device: await mayOpenDevice(`${own}/root/dev/userfaultfd`, process, groups),
  });
}

// CAP_SYS_PTRACE of include/uapi/linux/capability.h, PROC_USER_INIT_INO of include/linux/proc_ns.h
const capSysPtrace = 19n;
const initialUserNamespace = "user:[4026531837]";

async function mayOpenDevice(file: string, { uid, gid }: QemuProcess, groups: readonly number[]): Promise<boolean> {
  const stats = await fs.stat(file).catch(() => undefined);
  if (!stats?.isCharacterDevice()) return false;
  if (uid === 0) return true;
  const shift = stats.uid === uid ? 6 : stats.gid === gid || groups.includes(stats.gid) ? 3 : 0;
  return ((stats.mode >> shift) & 6) === 6;
}
