/** What a command line connects to the guest's ports: serial lines, channels, monitors. */
import { formatFields, type Option, parseFields } from "./command-line.ts";

export interface Ports {
  /** The file that serial port number n prints to. */
  readonly serial: (number: number) => string;
  /** The socket of another channel into the guest, such as the guest agent's. */
  readonly socket: (number: number) => string;
}

export interface LaunchedPorts {
  readonly options: Option[];
  readonly serials: number;
  readonly sockets: number;
}

/** Devices that are serial lines or consoles: what they print is kept in a file. */
const serialDevice = /^(isa-serial|pci-serial(-[24]x)?|usb-serial|virtconsole|sclp(lm)?console|spapr-vty)$/;
/** Backends that are the guest's own, or nowhere. */
const harmlessBackend = /^(null|ringbuf|memory|testdev|msmouse|wctablet|braille)$/;
/** Backends of a display that there isn't. */
const displayBackend = /^(spicevmc|spiceport|qemu-vdagent|dbus|vc)$/;

/** Serial ports to files, other channels to sockets, no monitors. The ports themselves stay as the guest knows them. */
export function relaunchPorts(options: readonly Option[], ports: Ports): LaunchedPorts {
  const serialOf = new Map<string, number>();
  let serials = 0;
  let sockets = 0;
  const used = new Set<string>();
  const note = (chardev: string, isSerial: boolean): void => {
    used.add(chardev);
    if (isSerial && !serialOf.has(chardev)) serialOf.set(chardev, serials++);
  };
  const changed = options.map((option): Option => {
    const { name, value = "" } = option;
    if (name === "serial" && value !== "none") {
      const [, known] = /^chardev:(.*)$/s.exec(value) ?? [];
      if (known === undefined) return { name, value: `file:${ports.serial(serials++)}` };
      note(known, true);
    }
    if (name === "parallel" && value !== "none") return { name, value: "null" };
    if (name === "debugcon") return { name, value: "null" };
    if (name === "device" || name === "object") {
      const fields = parseFields(value, name === "device" ? "driver" : "qom-type");
      const isSerial = name === "device" && serialDevice.test(fields.get("driver") ?? "");
      for (const [key, chardev] of fields) if (/^chardev\d*$/.test(key)) note(chardev, isSerial);
    }
    return option;
  });
  const connected = changed.flatMap((option): Option[] => {
    if (option.name !== "chardev") return [option];
    const fields = parseFields(option.value, "backend");
    const id = fields.get("id") ?? "";
    const backend = fields.get("backend") ?? "";
    const serial = serialOf.get(id);
    if (serial !== undefined)
      return [{ name: "chardev", value: formatFields("file", { id, path: ports.serial(serial) }) }];
    if (!used.has(id)) return [];
    if (harmlessBackend.test(backend)) return [option];
    if (displayBackend.test(backend)) return [{ name: "chardev", value: formatFields("null", { id }) }];
    const socket = { id, path: ports.socket(sockets++), server: "on", wait: "off" };
    return [{ name: "chardev", value: formatFields("socket", socket) }];
  });
  const isUsual = !changed.some(
    ({ name, value }) =>
      name === "serial" ||
      name === "nodefaults" ||
      (name === "device" && parseFields(value, "driver").get("driver") === "isa-serial"),
  );
  // Without a word about serial ports a machine has one.
  if (!isUsual) return { options: connected, serials, sockets };
  return {
    options: [...connected, { name: "serial", value: `file:${ports.serial(serials)}` }],
    serials: serials + 1,
    sockets,
  };
}
