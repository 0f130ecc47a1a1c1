/** How esbuild joins the sources and their packages, for `dist/` and for the executable alike. */
import { join } from "node:path";
import type { BuildOptions, Plugin } from "esbuild";

export const project = join(import.meta.dirname, "../..");

/**
 * A module that imports `node:http` by name has Node look at all of its properties, and so load fetch and WebSocket, which takes
 * longer than loading all of Stillpoint. Of those that are made when they are looked at, nothing here needs any.
 */
const lazyHttp: Plugin = {
  name: "lazy http",
  setup: (bundle) => {
    bundle.onResolve({ filter: /^(node:)?http$/ }, () => ({ path: "http", namespace: "lazy" }));
    bundle.onLoad({ filter: /^http$/, namespace: "lazy" }, () => {
      const properties = Object.entries(Object.getOwnPropertyDescriptors(process.getBuiltinModule("node:http")));
      const names = properties.filter(([, property]) => property.get === undefined).map(([name]) => name);
      return {
        contents: `const http = process.getBuiltinModule("node:http");
          export default http;
          export const { ${names.join(", ")} } = http;`,
      };
    });
  },
};

export const settings = {
  absWorkingDir: project,
  bundle: true,
  platform: "node",
  // Of a package that has both, the modules: of these, only what is used gets in.
  mainFields: ["module", "main"],
  // Packages that are CommonJS ask for Node's own modules by `require`, which a module hasn't.
  banner: { js: 'import { createRequire as makeRequire } from "node:module"; const require = makeRequire("/");' },
  plugins: [lazyHttp],
} as const satisfies BuildOptions;
