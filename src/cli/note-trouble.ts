import { exitStatus } from "../errors.ts";
import type { Cli } from "./cli.ts";
import { printable } from "./format.ts";

/** Says what couldn't be read, each thing once, while the rest was. Makes the exit status 3. */
export function noteTrouble(cli: Cli): (message: string) => void {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message)) return;
    said.add(message);
    cli.output.note(`stillpoint: ${printable(message.replace(/\.$/, ""))}.`);
    cli.exit = exitStatus.partial;
  };
}
