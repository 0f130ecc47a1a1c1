/** The RAM of a command line: where its content comes from. */
import type { Machine } from "../../repository/points/machine.ts";
import { cannotLaunch } from "./cannot-launch.ts";
import { formatFields, type Option, parseFields } from "./command-line.ts";

export interface LaunchedMemory {
  readonly options: Option[];
  /** The name of the backend that the machine must be told of, when its command line had none. */
  readonly backend: string | undefined;
  /** Numbers of the RAM blocks whose content comes from files, so that it isn't in the stream. */
  readonly mapped: readonly number[];
}

/**
 * Lets RAM come from files by private mappings: QEMU reads a page when the guest touches it, and writes nothing back (but what the
 * guest gives up, to a balloon say, is punched out of the file). Blocks that can't be found on the command line aren't mapped.
 *
 * @param fileOf the file of a block; undefined for a cold start
 */
export function relaunchMemory(
  options: readonly Option[],
  machine: Machine,
  fileOf: ((number: number) => string) | undefined,
): LaunchedMemory {
  const blocks = machine.memory?.blocks ?? [];
  const mapped: number[] = [];
  const changed = options.map((option): Option => {
    const fields = option.name === "object" ? parseFields(option.value, "qom-type") : undefined;
    const type = fields?.get("qom-type") ?? "";
    if (fields === undefined || !type.startsWith("memory-backend-")) return option;
    const id = fields.get("id") ?? "";
    const number = blocks.findIndex((block) => block.id === id || block.id === `/objects/${id}`);
    const block = blocks[number];
    if (fileOf === undefined || block === undefined)
      return { name: "object", value: withoutFile(type, id, fields.get("size")) };
    mapped.push(number);
    return { name: "object", value: fromFile(id, block, fileOf(number)) };
  });
  if (mapped.length > 0 || fileOf === undefined || hasBackend(options))
    return { options: changed, backend: undefined, mapped };
  const size = ramSize(options);
  const number = blocks.findIndex((block) => block.size === size && /^[\w.-]+$/.test(block.id));
  const block = blocks[number];
  if (block === undefined) return { options: changed, backend: undefined, mapped };
  const backend = { name: "object", value: fromFile(block.id, block, fileOf(number)) };
  return { options: [...changed, backend], backend: block.id, mapped: [number] };
}

function fromFile(id: string, block: { readonly id: string; readonly size: number }, file: string): string {
  return formatFields("memory-backend-file", {
    id,
    size: String(block.size),
    "mem-path": file,
    share: "off",
    // The stream knows the block by a path when the backend was told so.
    "x-use-canonical-path-for-ramblock-id": block.id === id ? undefined : "on",
  });
}

/** Ordinary memory of that size: the file or huge pages that it had are its host's. */
function withoutFile(type: string, id: string, size: string | undefined): string {
  if (type === "memory-backend-epc") throw cannotLaunch("it has memory in an enclave of its host's processor");
  return formatFields("memory-backend-ram", { id, size });
}

function hasBackend(options: readonly Option[]): boolean {
  return options.some(({ name, value }) => {
    if (name === "machine") return parseFields(value, "type").has("memory-backend");
    return name === "numa" && parseFields(value, "type").has("memdev");
  });
}

const units: Readonly<Record<string, number>> = { "": 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** Of `-m`, in bytes; a number without a unit is in MiB, and without the option there are 128 MiB. */
export function ramSize(options: readonly Option[]): number {
  const value = options.findLast(({ name }) => name === "m")?.value;
  const [, number = "128", unit = ""] =
    /^([\d.]+)([bkmgt]?)$/i.exec(parseFields(value, "size").get("size") ?? "128") ?? [];
  return Math.round(Number(number) * (units[unit === "" ? "m" : unit.toLowerCase()] ?? 1));
}
