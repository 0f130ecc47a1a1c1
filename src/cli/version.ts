import { createRequire } from "node:module";

/** Stillpoint's own; package.json is at the same place from src/cli and from dist/cli. */
export const { version } = createRequire(import.meta.url)("../../package.json") as { readonly version: string };
