/** A logger whose level may change while it is in use: a reload of the configuration changes it. */
import type { Logger } from "../host/log.ts";
import type { LogLevel } from "../policy/config.ts";

const order: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error"];

/** Drops the lines below the level that holds at the moment. */
export function withLiveLevel(log: Logger, level: () => LogLevel): Logger {
  const passes = (line: LogLevel): boolean => order.indexOf(line) >= order.indexOf(level());
  return {
    debug: (message, fields) => void (passes("debug") && log.debug(message, fields)),
    info: (message, fields) => void (passes("info") && log.info(message, fields)),
    warn: (message, fields) => void (passes("warn") && log.warn(message, fields)),
    error: (message, fields) => log.error(message, fields),
    child: (fields) => withLiveLevel(log.child(fields), level),
  };
}
