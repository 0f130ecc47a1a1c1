/** The folder of one capture, in which QEMU finds its scratch files and makes its socket. */
import { chmod, chown, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { describeError } from "../../errors.ts";
import { describeProcess, type QemuProcess } from "../../qemu/qmp-peer.ts";
import { refused } from "./trouble.ts";

const namePattern = /^\.stillpoint-capture-(\d+)-(\d+)-\w{6}$/;

/**
 * Makes the folder, for QEMU's user alone, in `spool`, which is made too if it isn't there. Removes the folders of captures
 * whose process has died. Throws `vm_refused`.
 */
export async function makeCaptureFolder(spool: string, owner: Pick<QemuProcess, "uid" | "gid">): Promise<string> {
  try {
    // QEMU may run as another user, who has to get through.
    await mkdir(spool, { recursive: true, mode: 0o711 });
    await removeLeftFolders(spool);
    const own = await describeProcess(process.pid);
    const folder = await mkdtemp(join(spool, `.stillpoint-capture-${process.pid}-${own?.startTime ?? "0"}-`));
    await chmod(folder, 0o700);
    if (owner.uid !== process.getuid?.()) await chown(folder, owner.uid, owner.gid);
    return folder;
  } catch (error) {
    throw refused(
      `its spool folder ${spool} can't be used: ${describeError(error)}`,
      "Name a folder that Stillpoint can write to as the source's `spool`.",
    );
  }
}

/** Removes the folders of captures whose process has died, and returns how many they were. */
export async function removeLeftFolders(spool: string): Promise<number> {
  let removed = 0;
  for (const name of await readdir(spool)) {
    const [, pid, startTime] = namePattern.exec(name) ?? [];
    if (pid === undefined || (await describeProcess(Number(pid)))?.startTime === startTime) continue;
    await rm(join(spool, name), { recursive: true, force: true });
    removed += 1;
  }
  return removed;
}
