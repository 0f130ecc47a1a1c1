/** A virtual machine as a policy names it. */

export interface VmSource {
  /** Path of QEMU's QMP socket. */
  readonly qmp: string;
  /** Whether RAM, processors and devices are captured too. */
  readonly memory: boolean;
  /** In ms: the longest that the guest may stand still. */
  readonly maxPause: number;
  /** Names of disks, as `listDrives` gives them. */
  readonly disks: "all" | readonly string[];
  /** Path of the guest agent's socket; only without memory. */
  readonly guestAgent?: string | undefined;
  /** Folder for what QEMU writes during a capture. */
  readonly spool: string;
  /** Bytes of the disks' old content that may be kept there during a capture. */
  readonly scratch: number;
}
