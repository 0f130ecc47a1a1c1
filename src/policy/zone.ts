/**
 * Time zones. A *wall time* is what a clock on the wall of the zone shows, written as milliseconds as if that clock
 * were UTC: date arithmetic on it is plain UTC arithmetic, and only these functions know about offsets.
 */

const dayLength = 86_400_000;
/** Within the years 1 to 9999; beyond them, where only forged times are, the offset no longer matters. */
const earliest = Date.parse("0001-01-03T00:00:00Z");
const latest = Date.parse("9999-12-29T00:00:00Z");

const formats = new Map<string, Intl.DateTimeFormat>();

function formatFor(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      hourCycle: "h23",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
    });
    formats.set(zone, format);
  }
  return format;
}

/** Whether `name` is a zone of the IANA time zone database, such as `Europe/Berlin`, or `UTC`. */
export function isTimeZone(name: string): boolean {
  // Intl also takes "+01:00", which has no daylight saving time and is hardly ever what was meant.
  if (!/^[A-Za-z][A-Za-z0-9_+\-/]*$/.test(name)) return false;
  try {
    formatFor(name);
    return true;
  } catch {
    return false;
  }
}

/** What the zone's wall clock is ahead of UTC at `time`, in ms. */
export function offsetAt(time: number, zone: string): number {
  if (zone === "UTC") return 0;
  const at = Math.floor(Math.min(Math.max(time, earliest), latest) / 1000) * 1000;
  const [month, dayOfMonth, year, hours, minutes, seconds] = formatFor(zone)
    .format(at)
    .split(/[^\d]+/)
    .map(Number) as [number, number, number, number, number, number];
  return Date.UTC(year, month - 1, dayOfMonth, hours, minutes, seconds) - at;
}

/** The wall time of the zone at `time`. */
export function wallTime(time: number, zone: string): number {
  return Math.floor(time) + offsetAt(time, zone);
}

/**
 * The first instant at which the zone's clock shows `wall`. A wall time that is skipped when the clocks go forward
 * becomes the instant at which they do.
 */
export function firstInstantOf(wall: number, zone: string): number {
  const offsets = [offsetAt(wall - dayLength, zone), offsetAt(wall + dayLength, zone)];
  const instants = offsets.map((offset) => wall - offset).filter((time) => wallTime(time, zone) === wall);
  if (instants.length > 0) return Math.min(...instants);
  return changeBetween(wall - Math.max(...offsets), wall - Math.min(...offsets), zone);
}

/** The last instant at which the zone's clock shows `wall`; skipped wall times as in `firstInstantOf`. */
export function lastInstantOf(wall: number, zone: string): number {
  const offsets = [offsetAt(wall - dayLength, zone), offsetAt(wall + dayLength, zone)];
  const instants = offsets.map((offset) => wall - offset).filter((time) => wallTime(time, zone) === wall);
  return instants.length > 0 ? Math.max(...instants) : firstInstantOf(wall, zone);
}

/** The instant in (`low`, `high`] from which the offset is that of `high`. Changes happen on whole seconds. */
export function changeBetween(low: number, high: number, zone: string): number {
  const after = offsetAt(high, zone);
  let before = Math.floor(low / 1000);
  let until = Math.floor(high / 1000);
  while (until - before > 1) {
    const middle = Math.floor((before + until) / 2);
    if (offsetAt(middle * 1000, zone) === after) until = middle;
    else before = middle;
  }
  return until * 1000;
}
