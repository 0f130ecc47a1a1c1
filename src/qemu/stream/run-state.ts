/** The run state in a saved machine: whether QEMU lets it run once it is loaded. */
import { sectionTypes } from "./format.ts";

/** Name, instance and version of the section; then a u32, the length of the state with its null byte, and 100 bytes for it. */
const beginning = Buffer.concat([Buffer.of(11), Buffer.from("globalstate"), Buffer.from([0, 0, 0, 0, 0, 0, 0, 1])]);
const room = 100;

/**
 * The tail of a stream with `running` as its run state: QEMU then runs the machine as soon as it is loaded, unless it was
 * started with `-S`. A machine is saved paused, and would otherwise wait for `cont`. A tail without a run state, which QEMU
 * takes for running, comes back as it is (migration/global_state.c of its source).
 */
export function asRunning(tail: Uint8Array): Buffer {
  const changed = Buffer.from(tail);
  for (let at = changed.indexOf(beginning); at >= 0; at = changed.indexOf(beginning, at + 1)) {
    if (!isSection(changed, at)) continue;
    const state = at + beginning.length;
    changed.fill(0, state, state + 4 + room);
    changed.writeUInt32BE("running".length + 1, state);
    changed.write("running", state + 4);
    break;
  }
  return changed;
}

/** Whether a whole section is around the name: its type and number before it, its footer (with the same number) behind. */
function isSection(tail: Buffer, at: number): boolean {
  const footer = at + beginning.length + 4 + room;
  if (at < 5 || footer + 5 > tail.length) return false;
  const closed = tail[footer] === sectionTypes.footer;
  return tail[at - 5] === sectionTypes.full && (!closed || tail.readUInt32BE(footer + 1) === tail.readUInt32BE(at - 4));
}
