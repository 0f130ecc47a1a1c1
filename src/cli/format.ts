/** Sizes, ages and times as people read them, and text from elsewhere that is safe to print. */
import { day, hour, minute, second } from "../policy/units.ts";

const sizeUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `1.4 GiB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 1023.95 would be printed as 1024.0.
  while (value >= 1023.95 && unit < sizeUnits.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? String(Math.round(value)) : value.toFixed(1)} ${sizeUnits[unit] ?? ""}`;
}

const ageUnits = [
  ["d", day],
  ["h", hour],
  ["m", minute],
  ["s", second],
] as const;

/** The two largest units of a duration in ms: `3d 4h`, `12m 5s`, `0s`; `-` before one that is negative. */
export function formatAge(ms: number): string {
  if (!Number.isFinite(ms)) return "never";
  const total = Math.abs(ms);
  const first = ageUnits.findIndex(([, size]) => total >= size);
  if (first === -1) return "0s";
  let rest = total;
  const parts: string[] = [];
  for (const [unit, size] of ageUnits.slice(first, first + 2)) {
    const whole = Math.floor(rest / size);
    rest -= whole * size;
    if (whole > 0) parts.push(`${whole}${unit}`);
  }
  return `${ms < 0 ? "-" : ""}${parts.join(" ")}`;
}

/** `2026-11-22 11:33:00`, in UTC, as every time that Stillpoint prints. */
export function formatTime(ms: number): string {
  // Beyond what a Date can be: a claimed time may be absurd.
  if (Number.isNaN(new Date(ms).getTime())) return "an unknown time";
  return new Date(ms).toISOString().slice(0, 19).replace("T", " ");
}

/** `bytes 4096 to 8191`: the first and the last of a range. */
export function formatRange(offset: number, length: number): string {
  return length === 1 ? `byte ${offset}` : `bytes ${offset} to ${offset + length - 1}`;
}

/** `1 file`, `2 files`. */
export function count(number: number, singular: string, plural = `${singular}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? singular : plural}`;
}

/** What could steer a terminal or pretend to be another line, in the form of JSON's escapes. */
const unprintable = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u{fffd}]/gu;

/** Text from a repository or a file system, on one line and harmless. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) =>
    character === "\u{fffd}" ? "?" : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
