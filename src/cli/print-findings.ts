import type { Finding } from "../repository/check/findings.ts";
import type { Cli } from "./cli.ts";
import { count, formatRange, printable } from "./format.ts";

/** More of what one thing costs than this is left to --json. */
const mostAffected = 20;

/** What is wrong, and under it what that costs. */
export function printFindings({ output }: Cli, findings: readonly Finding[]): void {
  for (const { message, affected } of findings) {
    output.print(`${output.style("red", "DAMAGE")}: ${printable(message)}`);
    for (const { point, path, path64, offset, length } of affected.slice(0, mostAffected)) {
      const name = printable(path ?? Buffer.from(path64 ?? "", "base64").toString());
      const range = offset === undefined ? "" : `, ${formatRange(offset, length ?? 0)}`;
      output.print(`  costs ${point.slice(0, 8)}: ${name}${range}`);
    }
    const more = affected.length - mostAffected;
    if (more > 0) output.print(`  and ${count(more, "other")}; --json names them all`);
  }
}
