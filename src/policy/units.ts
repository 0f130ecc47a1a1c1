/**
 * Durations, sizes and rates as the configuration writes them: a whole number with its unit, `15m`, `1h30m`,
 * `64MiB`, `50MiB/s`. A number without a unit is never accepted: nobody can see whether 30 means seconds or minutes.
 */

export const second = 1000;
export const minute = 60 * second;
export const hour = 60 * minute;
export const day = 24 * hour;

/** Longest first, the order in which `formatDuration` uses them. */
const durationUnits = { w: 7 * day, d: day, h: hour, m: minute, s: second, ms: 1 } as const;

/** Both families by their own names: KiB is 1024 bytes (IEC 80000-13), kB is 1000. */
const sizeUnits = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
} as const;

/** The patterns also go into the JSON Schema, so that editors mark a wrong value while it is typed. */
export const durationPattern = /^(?:\d{1,9}(?:ms|s|m|h|d|w))+$/;
export const sizePattern = /^\d{1,9}(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$/;
export const ratePattern = /^\d{1,9}(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)\/s$/;

/** `1h30m` in milliseconds; undefined when the text isn't a duration. A unit may be used once. */
export function parseDuration(text: string): number | undefined {
  if (!durationPattern.test(text)) return undefined;
  let total = 0;
  const seen = new Set<string>();
  for (const [, count, unit] of text.matchAll(/(\d+)(ms|[smhdw])/g)) {
    if (seen.has(unit as string)) return undefined;
    seen.add(unit as string);
    total += Number(count) * durationUnits[unit as keyof typeof durationUnits];
  }
  return total;
}

/** `10GiB` in bytes; undefined when the text isn't a size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+)(\w+)$/.exec(text);
  if (match === null || !sizePattern.test(text)) return undefined;
  return Number(match[1]) * sizeUnits[match[2] as keyof typeof sizeUnits];
}

/** `50MiB/s` in bytes per second; undefined when the text isn't a rate. */
export function parseRate(text: string): number | undefined {
  return ratePattern.test(text) ? parseSize(text.slice(0, -2)) : undefined;
}

/** Milliseconds as `parseDuration` reads them, days from two of them on: `5400000` is `1h30m`. */
export function formatDuration(ms: number): string {
  let rest = Math.round(ms);
  let text = "";
  for (const [unit, size] of Object.entries(durationUnits)) {
    if (unit === "w" || (unit === "d" && ms < 2 * day)) continue;
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) text += `${count}${unit}`;
  }
  return text === "" ? "0s" : text;
}
