/** What a manifest says of a virtual machine: how to start it again (docs/format.md section 9.1). */
import * as z from "zod";

const bytes = z.int().min(0);

const disk = z.object({
  name: z.string(),
  part: z.string().nullable(),
  device: z.string(),
  node: z.string(),
  file: z.string(),
  format: z.string(),
  size: bytes,
  read_only: z.boolean(),
  read: bytes,
  reason: z.string().optional(),
  bitmap: z.string().nullable(),
});

const network = z.object({
  id: z.string(),
  type: z.string().optional(),
  model: z.string().optional(),
  mac: z.string().optional(),
});

const captureMethods = ["late-stop", "background", "stopped", "disks"] as const;

export const machineSchema = z.object({
  qemu: z.object({ version: z.string(), binary: z.string() }),
  type: z.string(),
  command: z.array(z.string()).min(1),
  folder: z.string(),
  pause: z.number().min(0),
  method: z.enum(captureMethods),
  setup: z.int().min(0).optional(),
  memory: z.object({ page: z.int().min(4096), blocks: z.array(z.object({ id: z.string(), size: bytes })) }).nullable(),
  disks: z.array(disk),
  files: z.array(z.object({ option: z.string(), path: z.string() })),
  networks: z.array(network),
});

/** `pause` and `setup` in ms, sizes in bytes. */
export type Machine = Readonly<z.infer<typeof machineSchema>>;
export type MachineDisk = Machine["disks"][number];
export type RamBlock = NonNullable<Machine["memory"]>["blocks"][number];
