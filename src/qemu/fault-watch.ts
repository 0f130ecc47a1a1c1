/** Whether threads of a QEMU wait in vain for somebody to take the write protection off a page (see userfaultfd.ts). */

import * as fs from "node:fs/promises";

/** Where the kernel lets such a thread wait (fs/userfaultfd.c), as /proc/PID/task/TID/wchan names it. */
const waitingIn = "handle_userfault";

export class FaultWatch {
  readonly #pid: number;
  /** When each wait was first seen, in ms. A wait is a thread that hasn't run since. */
  #since = new Map<string, number>();

  constructor(pid: number) {
    this.#pid = pid;
  }

  /**
   * For how long the longest of the waits that go on now has been seen, in ms; 0 without any. During a save guests wait for
   * milliseconds, again and again. Without the right to look it is always 0.
   *
   * @param now in ms, of a clock that never goes back
   */
  async look(now: number): Promise<number> {
    const before = this.#since;
    this.#since = new Map((await waits(this.#pid)).map((wait) => [wait, before.get(wait) ?? now]));
    return now - Math.min(now, ...this.#since.values());
  }
}

async function waits(pid: number): Promise<string[]> {
  const tasks = `/proc/${String(pid)}/task`;
  const found: string[] = [];
  for (const thread of await fs.readdir(tasks).catch(() => [])) {
    const read = async (name: string): Promise<string> =>
      await fs.readFile(`${tasks}/${thread}/${name}`, "utf8").catch(() => "");
    if ((await read("wchan")) !== waitingIn) continue;
    found.push(`${thread} ${/^voluntary_ctxt_switches:\s*([0-9]+)$/m.exec(await read("status"))?.[1] ?? ""}`);
  }
  return found;
}
