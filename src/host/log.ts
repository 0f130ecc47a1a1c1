/** Structured logs: JSON lines, written synchronously, so that the last line before a crash is there. */

import { fstatSync } from "node:fs";
import pino from "pino";
import { StillpointError } from "../errors.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Plain data. An Error belongs under `error`. Never a secret: known names are blanked out, but that is the second line of defence. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each of its lines. */
  child(fields: LogFields): Logger;
}

export interface LoggerOptions {
  /** Lines below this level are dropped. */
  readonly level: LogLevel;
  /** `stdout` for the daemon, `stderr` for the command line. A function receives each line, with its newline. */
  readonly to: "stdout" | "stderr" | ((line: string) => void);
  /** Whether lines begin with a priority that journald understands (`<6>`, see sd-daemon(3)). */
  readonly journald?: boolean;
}

/**
 * Whether what is written to this descriptor goes to systemd's journal. `JOURNAL_STREAM` (systemd.exec(5)) names the stream by its
 * device and inode: the variable alone says nothing of output that was led elsewhere since.
 */
export function underJournald(env: NodeJS.ProcessEnv, descriptor: number): boolean {
  const stream = env["JOURNAL_STREAM"];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(descriptor, { bigint: true });
  return stream === `${String(dev)}:${String(ino)}`;
}

export function createLogger(options: LoggerOptions): Logger {
  const write = typeof options.to === "function" ? options.to : descriptorWriter(options.to === "stdout" ? 1 : 2);
  const settings: pino.LoggerOptions = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    messageKey: "message",
    serializers: { error: describeForLog },
    redact: { paths: secretPaths, censor: "[redacted]" },
  };
  return wrap(pino(settings, options.journald ? withPriority(write) : { write }));
}

/** A logger that says nothing, for code that is used as a library. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};

function wrap(logger: pino.Logger): Logger {
  return {
    debug: (message, fields) => logger.debug({ ...fields }, message),
    info: (message, fields) => logger.info({ ...fields }, message),
    warn: (message, fields) => logger.warn({ ...fields }, message),
    error: (message, fields) => logger.error({ ...fields }, message),
    child: (fields) => wrap(logger.child({ ...fields })),
  };
}

function descriptorWriter(fd: 1 | 2): (line: string) => void {
  const destination = pino.destination({ dest: fd, sync: true });
  // A reader that went away (`stillpoint … | head`) must not end a capture: the line is lost, the work goes on.
  destination.on("error", () => undefined);
  return (line) => void destination.write(line);
}

const priorities: Readonly<Record<string, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/** pino tells a stream that carries this symbol the level of the line it is about to write. */
function withPriority(write: (line: string) => void): pino.DestinationStream {
  const stream = {
    [Symbol.for("pino.metadata")]: true,
    lastLevel: pino.levels.values["info"],
    write: (line: string) => write(`<${priorities[pino.levels.labels[stream.lastLevel ?? 0] ?? "info"] ?? 6}>${line}`),
  };
  return stream;
}

const secretNames = [
  "passphrase",
  "password",
  "secret",
  "token",
  "credentials",
  "authorization",
  "secretAccessKey",
  "masterKey",
];
const secretPaths = secretNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** A deliberate error by its code; anything else is a defect, and whoever mends it needs the stack. */
function describeForLog(error: unknown): unknown {
  if (error instanceof StillpointError) {
    const { code, message, cause } = error;
    return cause === undefined ? { code, message } : { code, message, cause: describeForLog(cause) };
  }
  if (!(error instanceof Error)) return String(error);
  if ("syscall" in error) return { code: "code" in error ? error.code : undefined, message: error.message };
  return { code: "internal", message: error.message, stack: error.stack };
}
