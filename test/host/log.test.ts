import { spawnSync } from "node:child_process";
import { fstatSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { StillpointError } from "../../src/errors.ts";
import { createLogger, silentLogger, underJournald, type LoggerOptions } from "../../src/host/log.ts";

function capture(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const logger = createLogger({ level: "info", to: (line) => lines.push(line), ...options });
  return { logger, lines, parsed: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

describe("createLogger", () => {
  test("writes one JSON line per message, with time, level and fields", () => {
    const { logger, lines, parsed } = capture();
    logger.child({ policy: "erp" }).warn("a line\nand more", { source: "www", bytes: 5 });
    expect(lines).toHaveLength(1);
    expect(lines[0]?.indexOf("\n")).toBe((lines[0]?.length ?? 0) - 1);
    expect(parsed()[0]).toEqual({
      level: "warn",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/) as unknown,
      policy: "erp",
      source: "www",
      bytes: 5,
      message: "a line\nand more",
    });
  });

  test("drops what is below its level", () => {
    const { logger, parsed } = capture({ level: "warn" });
    logger.debug("a");
    logger.info("b");
    logger.warn("c");
    logger.error("d");
    expect(parsed().map(({ message }) => message)).toEqual(["c", "d"]);
  });

  test("blanks out secrets, nested ones too", () => {
    const { logger, lines } = capture();
    logger.info("opened", { passphrase: "hunter2", key: { password: "hunter2" }, s3: { auth: { token: "hunter2" } } });
    logger.child({ secret: "hunter2" }).info("again");
    expect(lines.join("")).not.toContain("hunter2");
    expect(lines.join("").match(/\[redacted\]/g)).toHaveLength(4);
  });

  test("a deliberate error is its code and message, with its cause and without a stack", () => {
    const { logger, parsed } = capture();
    const cause = Object.assign(new Error("EIO: read"), { code: "EIO", syscall: "read" });
    logger.error("failed", { error: new StillpointError("storage_failed", { what: "Cannot read it", cause }) });
    expect(parsed()[0]?.["error"]).toEqual({
      code: "storage_failed",
      message: "Cannot read it.",
      cause: { code: "EIO", message: "EIO: read" },
    });
  });

  test("a defect keeps its stack, for whoever mends it", () => {
    const { logger, parsed } = capture();
    logger.error("failed", { error: new TypeError("x is not a function") });
    logger.error("failed", { error: "a thrown string" });
    expect(parsed()[0]?.["error"]).toMatchObject({
      code: "internal",
      stack: expect.stringContaining("log.test.ts") as unknown,
    });
    expect(parsed()[1]?.["error"]).toBe("a thrown string");
  });

  test("gives journald the priority of each line", () => {
    const { logger, lines } = capture({ journald: true, level: "debug" });
    logger.debug("a");
    logger.child({ a: 1 }).info("b");
    logger.warn("c");
    logger.error("d");
    expect(lines.map((line) => line.slice(0, 4))).toEqual(["<7>{", "<6>{", "<4>{", "<3>{"]);
  });

  test("writes before anything else happens, even the end of the process", () => {
    const module = new URL("../../src/host/log.ts", import.meta.url).href;
    const script = `
      import { createLogger } from ${JSON.stringify(module)};
      const logger = createLogger({ level: "info", to: "stdout" });
      for (let n = 1; n <= 100; n++) logger.info("line " + n);
      process.kill(process.pid, "SIGKILL");`;
    const { stdout, signal } = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    expect(signal).toBe("SIGKILL");
    expect(stdout).toContain('"message":"line 100"');
  });
});

test("underJournald compares JOURNAL_STREAM with the descriptor", () => {
  const { dev, ino } = fstatSync(0, { bigint: true });
  expect(underJournald({ JOURNAL_STREAM: `${dev}:${ino}` }, 0)).toBe(true);
  expect(underJournald({ JOURNAL_STREAM: `${dev}:${ino + 1n}` }, 0)).toBe(false);
  expect(underJournald({}, 0)).toBe(false);
});

test("silentLogger is silent", () => {
  expect(silentLogger.child({ a: 1 })).toBe(silentLogger);
});
