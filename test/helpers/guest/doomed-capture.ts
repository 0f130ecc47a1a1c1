/**
 * A program: captures a guest once, as the daemon would, and kills itself with SIGKILL at one step, if it gets there. The steps
 * are what it says to QEMU. Prints how many they were when it comes to the end.
 */
import { captureSource } from "../../../src/capture/capture-source.ts";
import type { VmSource } from "../../../src/capture/vm/vm-source.ts";
import { systemClock } from "../../../src/host/clock.ts";
import { Qmp } from "../../../src/qemu/qmp.ts";
import { BlobStore } from "../../../src/repository/blobs/blob-store.ts";
import { createRepository } from "../../../src/repository/repository.ts";
import { inlineExecutor } from "../../../src/repository/threads/executor.ts";
import { createStorage, openStorage } from "../../../src/storage/open.ts";

export interface Doom {
  readonly source: VmSource;
  /** Where the repository is made. */
  readonly repository: string;
  /** Killed at the step of this number (from 1 on), or at the first command of this name; never by default. */
  readonly step?: number | string;
  /** Before the command is given, when it is given, or when it is answered. By default the last. */
  readonly moment?: "before" | "given" | "answered";
  /** Instead of SIGKILL: the process stands still, as one that hangs does. */
  readonly stand?: boolean;
}

async function main({ source, repository: path, step, moment = "answered", stand = false }: Doom): Promise<void> {
  let steps = 0;
  let doomed = false;
  // oxlint-disable-next-line typescript/unbound-method -- called with its object below
  const { execute } = Qmp.prototype;
  const end = (): void => void process.kill(process.pid, stand ? "SIGSTOP" : "SIGKILL");
  Qmp.prototype.execute = async function <T>(this: Qmp, ...args: Parameters<typeof execute>): Promise<T> {
    steps += 1;
    const mine = steps === step || (args[0] === step && !doomed);
    doomed ||= mine;
    if (mine && moment === "before") end();
    const answer = execute.apply(this, args) as Promise<T>;
    if (mine && moment === "given") end();
    const result = await answer;
    if (mine && moment === "answered") end();
    return result;
  };
  const address = { kind: "fs", location: "primary", path } as const;
  await createStorage(address);
  const key = { type: "key-file", secret: Buffer.alloc(32, 3) } as const;
  const storage = openStorage(address);
  const repository = await createRepository({ storage, clock: systemClock, key, label: "test", address });
  await captureSource({
    repository,
    store: await BlobStore.load(repository),
    executor: inlineExecutor,
    source: { name: "guest", kind: "vm", ...source },
    policy: "policy",
    host: "host",
    points: [],
    grace: 7_200_000,
    version: "0",
  });
  process.stdout.write(`${String(steps)}\n`);
}

await main(JSON.parse(process.argv[2] ?? "{}") as Doom);
