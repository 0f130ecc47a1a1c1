import { InvalidArgumentError } from "commander";

/** A TCP port. Throws what commander shows as a wrong argument. */
export function parsePort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new InvalidArgumentError("It must be a number up to 65535.");
}
