import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import * as os from "node:os";

/** A boot sector, from its source. */
export function assemble(source: string): Buffer {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "stillpoint-assemble-"));
  const file = (name: string): string => path.join(folder, name);
  try {
    execFileSync("as", ["--32", "-o", file("o"), source]);
    execFileSync("ld", ["-m", "elf_i386", "-Ttext=0x7c00", "--oformat", "binary", "-o", file("bin"), file("o")]);
    return fs.readFileSync(file("bin"));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}
