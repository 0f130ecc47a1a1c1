import { getEventListeners } from "node:events";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ExecutorOptions, Task } from "../../../src/repository/threads/executor.ts";
import { WorkerExecutor } from "../../../src/repository/threads/worker-executor.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { rejection } from "../../helpers/rejection.ts";

/** A thread whose tasks read what they are named after from the storage that it asks for it, and answer with that. */
const asking = `
  import { parentPort } from "node:worker_threads";
  parentPort.on("message", ({ kind, id, task, call, answer }) => {
    if (kind === "run") {
      parentPort.postMessage({ kind: "call", call: id, request: { operation: "get", name: task, range: undefined } });
    }
    if (kind === "answer") parentPort.postMessage({ kind: "done", id: call, output: answer });
  });
`;

/** A thread whose tasks read into memory that they share with whoever reads for them, and answer with what is there then. */
const reading = `
  import { parentPort } from "node:worker_threads";
  const into = new Uint8Array(new SharedArrayBuffer(9), 1, 7);
  parentPort.on("message", ({ kind, id, task, call, answer }) => {
    const request = { operation: "get", name: task, range: { offset: 0, length: 7 }, into };
    if (kind === "run") parentPort.postMessage({ kind: "call", call: id, request });
    if (kind === "answer") parentPort.postMessage({ kind: "done", id: call, output: [answer, Uint8Array.from(into)] });
  });
`;

/** A thread that does as it is told, and then dies while it has nothing to do. */
const thread = `
  import { parentPort } from "node:worker_threads";
  parentPort.on("message", ({ kind, id, task }) => {
    for (const bytes of task === "advance" ? [3, 4] : []) parentPort.postMessage({ kind: "advanced", id, bytes });
    parentPort.postMessage({ kind: "done", id, output: kind === "flush" ? { newBytes: 1, storedBytes: 1 } : task });
    if (task === "throw") setImmediate(() => { throw new Error("out of the blue"); });
    if (task === "exit") setImmediate(() => process.exit(7));
  });
`;
let folder: string;
let entry: URL;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stillpoint-threads-"));
  entry = pathToFileURL(join(folder, "thread.mjs"));
  await writeFile(entry, thread);
  await writeFile(new URL("asking.mjs", entry), asking);
  await writeFile(new URL("reading.mjs", entry), reading);
});

afterAll(async () => await rm(folder, { recursive: true }));

function executor(signal?: AbortSignal): WorkerExecutor {
  const options = { seed: () => ({}), context: { signal }, onPack: () => undefined };
  return new WorkerExecutor(entry, 1, options as unknown as ExecutorOptions);
}

function task(name: string): Task<null, string> {
  return { name, run: async () => await Promise.resolve(name) };
}

describe("threads", () => {
  test.each([
    ["throw", /out of the blue/],
    ["exit", /ended with 7/],
  ])("one that dies between two tasks (%s) fails the flush, since it took what it had with it", async (how, why) => {
    const threads = executor();
    try {
      // Usually its answer; on a busy machine the news of its death can overtake it.
      await threads.run(task(how), null).catch(() => undefined);
      // Asked again until the death is known here: by then whatever is asked must fail, not wait for ever.
      let failure: unknown;
      while (failure === undefined)
        failure = await threads.flush().then(
          () => undefined,
          (error: unknown) => error,
        );
      expect(failure).toMatchObject({ message: expect.stringMatching(why) as string });
      expect(await rejection(threads.flush())).toBe(failure);
      expect(await rejection(threads.run(task("anything"), null))).toBe(failure);
    } finally {
      await threads.close();
    }
  });

  test("tell how far a task is, before it is done", async () => {
    const threads = executor();
    try {
      const heard: number[] = [];
      await threads.run(task("advance"), null, (bytes) => void heard.push(bytes));
      expect(heard).toEqual([3, 4]);
    } finally {
      await threads.close();
    }
  });

  test("started beforehand, they are what the tasks run in", async () => {
    const seed = vi.fn<() => object>(() => ({}));
    const options = { seed, context: {}, onPack: () => undefined };
    const threads = new WorkerExecutor(entry, 2, options as unknown as ExecutorOptions);
    try {
      threads.start();
      threads.start();
      expect(seed).toHaveBeenCalledTimes(2);
      const names = ["one", "two", "three"];
      expect(await Promise.all(names.map((name) => threads.run(task(name), null)))).toEqual(names);
      expect(seed).toHaveBeenCalledTimes(2);
    } finally {
      await threads.close();
    }
    threads.start();
    expect(seed).toHaveBeenCalledTimes(2);
  });

  test("a signal that outlives them keeps nothing of them", async () => {
    const { signal } = new AbortController();
    for (let i = 0; i < 3; i++) {
      const threads = executor(signal);
      await threads.run(task("anything"), null);
      await threads.close();
    }
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
  });

  test("an aborted signal ends them", async () => {
    const controller = new AbortController();
    const threads = executor(controller.signal);
    await threads.run(task("anything"), null);
    controller.abort();
    expect(await rejection(threads.flush())).toMatchObject({ code: "cancelled" });
    await threads.close();
  });

  test("they ask this one's storage, several tasks of a thread at a time where that is far, and no more once they are closed", async () => {
    const gets: { readonly name: string; readonly signal: AbortSignal | undefined; readonly end: () => void }[] = [];
    const get: Storage["get"] = async (name, _, { signal } = {}) => {
      await new Promise<void>((resolve) => void gets.push({ name, signal, end: resolve }));
      return Buffer.from(`content of ${name}`);
    };
    const context = { storage: { get }, far: true };
    const options = { seed: () => ({}), context, onPack: () => undefined };
    const threads = new WorkerExecutor(new URL("asking.mjs", entry), 1, options as unknown as ExecutorOptions);
    const results = ["one", "two", "three"].map(async (name) => await threads.run(task(name), null));
    await expect.poll(() => gets).toHaveLength(3);
    for (const { end } of gets) end();
    expect((await Promise.all(results)).map((one) => Buffer.from(one).toString())).toEqual(
      ["one", "two", "three"].map((name) => `content of ${name}`),
    );
    const unended = rejection(threads.run(task("four"), null));
    await expect.poll(() => gets).toHaveLength(4);
    await threads.close();
    expect(gets.at(-1)?.signal?.aborted).toBe(true);
    expect(await unended).toMatchObject({ code: "cancelled" });
  });

  test("what is read into a thread's own memory is there, and isn't sent", async () => {
    const get: Storage["get"] = (_, range, { into } = {}) => {
      into?.fill("content");
      return Promise.resolve(into ?? Buffer.alloc(range?.length ?? 0));
    };
    const options = { seed: () => ({}), context: { storage: { get } }, onPack: () => undefined };
    const threads = new WorkerExecutor(new URL("reading.mjs", entry), 1, options as unknown as ExecutorOptions);
    try {
      expect(await threads.run(task("one"), null)).toEqual([undefined, Uint8Array.from(Buffer.from("content"))]);
    } finally {
      await threads.close();
    }
  });
});
