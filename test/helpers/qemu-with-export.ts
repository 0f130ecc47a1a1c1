import type { Command, Peer } from "./scripted-qmp.ts";
import { returns } from "./scripted-qmp.ts";

/** Answers as a QEMU in which a capture has left one export. */
export function qemuWithExport(): (command: Command, peer: Peer) => void {
  let exports = [{ id: "stillpoint-export-0", "shutting-down": false }];
  return (command, peer) => {
    if (command.execute === "block-export-del") exports = [];
    const answers: Record<string, unknown> = {
      "query-block-exports": exports,
      "query-migrate": {},
      "block-export-del": {},
    };
    returns(answers[command.execute] ?? [])(command, peer);
  };
}
