/** Prints the manual page stillpoint(1), made from the command line itself. Its date is SOURCE_DATE_EPOCH's, else today's. */
import { manPage } from "./manual/man-page.ts";
import { readCommandLine } from "./manual/command-line.ts";

const epoch = process.env["SOURCE_DATE_EPOCH"];
const date = epoch === undefined ? new Date() : new Date(Number(epoch) * 1000);
process.stdout.write(manPage(await readCommandLine(), date.toISOString().slice(0, 10)));
