/** Which part of a virtual machine's point is what. A manifest is checked here before anything is written. */
import { StillpointError } from "../../errors.ts";
import type { Machine } from "../../repository/points/machine.ts";
import type { ImagePart, Part, RecoveryPoint, StreamPart } from "../../repository/points/manifest.ts";

export interface MachineParts {
  readonly machine: Machine;
  /** By the name of the part; the file's name is what follows `disk/`. */
  readonly disks: ReadonlyMap<string, ImagePart>;
  /** In the order of the machine's blocks. */
  readonly memory: readonly ImagePart[];
  /** In the order of the machine's files. */
  readonly files: readonly StreamPart[];
  readonly state:
    | { readonly head: StreamPart; readonly tail: StreamPart; readonly whole: undefined }
    | { readonly whole: StreamPart }
    | undefined;
}

/** Throws `damaged` when the parts aren't those of a virtual machine. */
export function machineParts(point: RecoveryPoint): MachineParts {
  const { machine, parts } = point.manifest;
  if (machine === undefined) throw notOne(point, "it doesn't say what machine it is of");
  const left = new Map(parts.map((part) => [part.name, part]));
  const take = <K extends Part["kind"]>(name: string, kind: K): Extract<Part, { kind: K }> | undefined => {
    const part = left.get(name);
    left.delete(name);
    if (part !== undefined && !isOfKind(part, kind)) throw notOne(point, `${name} is of the kind ${part.kind}`);
    return part;
  };
  const need = <K extends Part["kind"]>(name: string, kind: K): Extract<Part, { kind: K }> => {
    const part = take(name, kind);
    if (part === undefined) throw notOne(point, `it has no ${name}`);
    return part;
  };
  const disks = new Map<string, ImagePart>();
  for (const { part } of machine.disks) {
    if (part === null) continue;
    // One step only: it becomes the name of a file.
    if (!/^disk\/[^/]+$/.test(part)) throw notOne(point, `it names ${part} as a disk`);
    disks.set(part, need(part, "image"));
  }
  const files = machine.files.map((_, number) => need(`file/${number}`, "stream"));
  const whole = take("state/stream", "stream");
  const head = whole === undefined ? take("state/head", "stream") : undefined;
  const memory = (head === undefined ? [] : (machine.memory?.blocks ?? [])).map(({ size }, number) => {
    const part = need(`memory/${number}`, "image");
    if (part.size !== size) throw notOne(point, `memory/${number} isn't as long as the machine says`);
    return part;
  });
  const state = whole === undefined ? head && { head, tail: need("state/tail", "stream"), whole } : { whole };
  const [rest] = left.keys();
  if (rest !== undefined) throw notOne(point, `nothing says what ${rest} is`);
  return { machine, disks, memory, files, state };
}

function isOfKind<K extends Part["kind"]>(part: Part, kind: K): part is Extract<Part, { kind: K }> {
  return part.kind === kind;
}

function notOne(point: RecoveryPoint, why: string): StillpointError {
  return new StillpointError("damaged", {
    what: `The recovery point ${point.id} isn't that of a virtual machine: ${why}`,
    safe: "Nothing was written.",
  });
}
