/** QEMU's command line: options with values, and values made of fields (docs/system/qemu-manpage of its source). */

/** An option without its dashes; a word that belongs to none is a disk, as `hda`. */
export interface Option {
  readonly name: string;
  readonly value: string | undefined;
}

/** All options of QEMU 2.12 to 10 that take no value; every other one takes the next word. */
const withoutValue = new Set(
  `h help version nodefaults no-user-config nouserconfig nographic S snapshot daemonize enable-kvm no-kvm no-reboot
  no-shutdown usb no-acpi no-hpet no-fd-bootchk mem-prealloc singlestep one-insn-per-tb full-screen alt-grab ctrl-grab
  no-quit sdl gtk curses portrait win2k-hack rtc-td-hack xen-attach xen-domid-restrict preconfig only-migratable s
  semihosting old-param enable-fips async-teardown enable-sync-profile perfmap jitdump
  no-kvm-pit no-kvm-irqchip no-kvm-pit-reinjection`.split(/\s+/),
);

/** @param command the program first */
export function parseCommandLine(command: readonly string[]): Option[] {
  const options: Option[] = [];
  for (let at = 1; at < command.length; at++) {
    const word = command[at] as string;
    if (!word.startsWith("-") || word === "-") {
      options.push({ name: "hda", value: word });
      continue;
    }
    const given = word.replace(/^--?/, "");
    const name = given === "M" ? "machine" : given;
    if (withoutValue.has(name)) options.push({ name, value: undefined });
    else options.push({ name, value: command[++at] });
  }
  return options;
}

export function formatCommandLine(options: readonly Option[]): string[] {
  return options.flatMap(({ name, value }) => (value === undefined ? [`-${name}`] : [`-${name}`, value]));
}

/** The fields of a value, by name; those of an inner object as `outer.inner`. */
export type Fields = ReadonlyMap<string, string>;

/**
 * Reads `first,key=value,flag`, where two commas stand for one, or the same as JSON.
 *
 * @param implied the name of the first field, when that comes without one
 */
export function parseFields(value: string | undefined, implied = ""): Map<string, string> {
  if (value === undefined) return new Map();
  if (value.startsWith("{")) return new Map(flatten("", parseJson(value)));
  const words = value.match(/(?:[^,]|,,)+/g) ?? [];
  return new Map(words.map((word, position) => fieldOf(word.replaceAll(",,", ","), position === 0 ? implied : "")));
}

function fieldOf(word: string, implied: string): [string, string] {
  const at = word.indexOf("=");
  if (at >= 0) return [word.slice(0, at), word.slice(at + 1)];
  return implied === "" ? [word, "on"] : [implied, word];
}

function* flatten(prefix: string, value: unknown): Generator<[string, string]> {
  if (typeof value === "object" && value !== null)
    for (const [key, inner] of Object.entries(value)) yield* flatten(prefix === "" ? key : `${prefix}.${key}`, inner);
  else if (typeof value === "boolean") yield [prefix, value ? "on" : "off"];
  else if (typeof value === "string" || typeof value === "number") yield [prefix, String(value)];
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** `first` stands before the others without a name. Fields whose value is undefined are left out. */
export function formatFields(
  first: string | undefined,
  fields: Readonly<Record<string, string | undefined>> | Fields,
): string {
  const entries = isFields(fields) ? [...fields] : Object.entries(fields);
  const words = entries.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
  return (first === undefined ? words : [first, ...words]).map((word) => word.replaceAll(",", ",,")).join(",");
}

function isFields(fields: Readonly<Record<string, string | undefined>> | Fields): fields is Fields {
  return fields instanceof Map;
}
