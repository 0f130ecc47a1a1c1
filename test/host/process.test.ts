import { readFileSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { isStillpointError, StillpointError } from "../../src/errors.ts";
import { run, streamCommand } from "../../src/host/process.ts";
import { isRunning } from "../helpers/is-running.ts";
import { rejection } from "../helpers/rejection.ts";

const shell = (script: string): string[] => ["sh", "-c", script];
const timeout = 20_000;

async function untilEnded(pid: number): Promise<void> {
  while (isRunning(pid)) await setImmediate();
}

/** Runs a program again, for longer each time, until it has said something before its time was up: on a busy machine it starts slowly. */
async function untilItSays<T>(runFor: (timeout: number) => Promise<T | undefined>): Promise<T> {
  for (let limit = 200; ; limit *= 2) {
    const said = await runFor(limit);
    if (said !== undefined) return said;
  }
}

describe("run", () => {
  test("returns both outputs, and passes arguments as they are", async () => {
    const { stdout, stderr } = await run(["printf", "%s|", "a b", "$HOME", "*", ""], { timeout });
    expect(stdout.toString()).toBe("a b|$HOME|*||");
    expect(stderr).toBe("");
  });

  test("passes input, working folder and environment", async () => {
    const { stdout } = await run(shell('cat; pwd; echo "$ADDED"'), {
      timeout,
      input: "in\n",
      cwd: "/usr",
      env: { ADDED: "x" },
    });
    expect(stdout.toString()).toBe("in\n/usr\nx\n");
  });

  test("a program that doesn't read its input is no failure", async () => {
    await expect(run(["true"], { timeout, input: Buffer.alloc(1 << 20) })).resolves.toMatchObject({ stderr: "" });
  });

  test("a status other than 0 is an error with the end of standard error", async () => {
    const error = await rejection(run(shell("echo first >&2; echo 'disk on fire.' >&2; exit 3"), { timeout }));
    expect(error).toMatchObject({ code: "command_failed" });
    expect(error.message).toContain("Cannot run sh: it ended with exit status 3, saying: first / disk on fire.");
  });

  test("a signal is an error", async () => {
    const error = await rejection(run(shell("kill -9 $$"), { timeout }));
    expect(error.message).toContain("it was ended by SIGKILL");
  });

  test.each([
    [["/no/such/program"], {}, "no such program"],
    [["/etc/passwd"], {}, "could not be started (EACCES)"],
    [["true"], { cwd: "/no/such/folder" }, "no such working folder"],
    [["true", "hidden\0argument"], {}, "aren't valid"],
  ])("what can't be started is an error: %j", async (argv, options, words) => {
    const error = await rejection(run(argv, { timeout, ...options }));
    expect(error).toMatchObject({ code: "command_failed" });
    expect(error.message).toContain(words);
    expect(error.message).not.toContain("hidden");
  });

  test("secrets of the environment and arguments stay out of the message", async () => {
    const env = { DB_PASSWORD: "hunter2-hunter2", LANG: "not-secret" };
    const error = await rejection(
      run(shell('echo "login $DB_PASSWORD $LANG failed" >&2; exit 1 # argument'), { timeout, env }),
    );
    expect(error.message).toContain("login [redacted] not-secret failed");
    expect(JSON.stringify(error)).not.toContain("hunter2");
    expect(error.message).not.toContain("# argument");
    expect(error.cause).toBeUndefined();
  });

  test("too much output is an error, and the program is ended", async () => {
    const error = await rejection(run(["yes"], { timeout, maxOutput: 100_000 }));
    expect(error.message).toContain("it printed more than 100000 bytes");
  });

  test("output of exactly the limit is fine", async () => {
    const { stdout } = await run(["head", "-c", "100000", "/dev/zero"], { timeout, maxOutput: 100_000 });
    expect(stdout.length).toBe(100_000);
  });

  test("any amount of standard error is fine, and its end is kept", async () => {
    const { stderr } = await run(shell("yes | head -c 1000000 >&2; echo end >&2"), { timeout });
    expect(stderr.length).toBe(16 * 1024);
    expect(stderr.endsWith("end\n")).toBe(true);
  });

  test("when time is up, the whole process group is ended, also what ignores SIGTERM", async () => {
    // The child closes its outputs, so nothing but the process group leads to it; it prints its id before that.
    const script = "(trap '' TERM; echo $(exec sh -c 'echo $PPID') >&2; exec >/dev/null 2>&1; sleep 600) & wait";
    const pid = await untilItSays(async (limit) => {
      const error = await rejection(run(shell(script), { timeout: limit, grace: 100 }));
      expect(error.message).toContain(`it took longer than ${String(limit / 1000)} s`);
      return /saying: (\d+)/.exec(error.message)?.[1];
    });
    await untilEnded(Number(pid));
  });

  test("cancelling ends the program", async () => {
    const controller = new AbortController();
    const running = rejection(run(["sleep", "600"], { timeout, signal: controller.signal }));
    controller.abort();
    expect(isStillpointError(await running, "cancelled")).toBe(true);
    expect(await rejection(run(["true"], { timeout, signal: controller.signal }))).toMatchObject({ code: "cancelled" });
  });
});

describe("streamCommand", () => {
  async function collect(argv: readonly string[], options = {}): Promise<{ size: number; error?: unknown }> {
    let size = 0;
    try {
      for await (const chunk of streamCommand(argv, { timeout, ...options })) size += chunk.length;
    } catch (error) {
      return { size, error };
    }
    return { size };
  }

  test("yields all of the output", async () => {
    expect(await collect(["head", "-c", "3000000", "/dev/zero"])).toEqual({ size: 3_000_000 });
  });

  test("a failure after the last byte is an error", async () => {
    const { size, error } = await collect(shell("head -c 200000 /dev/zero; exit 1"));
    expect(size).toBe(200_000);
    expect(error).toBeInstanceOf(StillpointError);
  });

  test("a timeout amid the output is an error", async () => {
    const size = await untilItSays(async (limit) => {
      const ended = await collect(shell("echo data; sleep 600"), { timeout: limit });
      expect(ended.error).toMatchObject({ code: "command_failed" });
      return ended.size === 0 ? undefined : ended.size;
    });
    expect(size).toBe(5);
  });

  test("what can't be started is an error, not an empty output", async () => {
    expect((await collect(["/no/such/program"])).error).toMatchObject({ code: "command_failed" });
  });

  test("takes no more from the program than the consumer asked for", async () => {
    const stream = streamCommand(shell("echo $$; exec yes"), { timeout });
    const pid = Number((await stream.next()).value?.toString().split("\n")[0]);
    // Time enough for a reader that doesn't wait to swallow many times the bound.
    for (let turn = 0; turn < 2000; turn++) await setImmediate();
    const written = Number(/wchar: (\d+)/.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
    expect(written).toBeLessThan(4 << 20);
    await stream.return("");
    await untilEnded(pid);
  });
});
