/**
 * The layers of src/, as rules. Imports go one way:
 *
 *   errors, host <- policy, storage, nbd, qemu <- repository <- capture, replicate, prune, restore <- drill, job, notify <- daemon, cli
 *
 * and metrics stands aside. Each rule says what would be lost without it.
 */

/** The layers from the bottom up; each may import from itself's folder and from every layer before it. */
const layers = [
  ["errors", "host"],
  ["policy", "storage", "nbd", "qemu"],
  ["repository"],
  ["capture", "replicate", "prune", "restore"],
  ["drill", "job", "notify"],
  ["daemon", "cli"],
];

const inside = (...folders) => `^src/(${folders.join("|")})(/|\\.ts$)`;

/** A rule for each layer: nothing in it imports from a layer above. */
const upward = layers.slice(0, -1).map((layer, level) => ({
  name: `${layer.join("-")}-import-nothing-above`,
  comment:
    "What is below can be understood, tested and kept without what is above. An import upwards ends that: " +
    "declare the narrow interface you need in your own layer and let the layer above hand in an implementation.",
  severity: "error",
  from: { path: inside(...layer) },
  to: { path: inside(...layers.slice(level + 1).flat()) },
}));

/** A rule for each folder with a neighbour in its layer: they don't know each other. */
const sideways = [
  ["policy", "storage", "nbd", "qemu"],
  ["capture", "replicate", "prune", "restore"],
].flatMap((layer) =>
  layer.map((folder) => ({
    name: `${folder}-knows-no-neighbour`,
    comment:
      "The parts of one layer are put together by the layer above (job/run-job.ts shows the whole path on one screen). " +
      "If they called each other, the order of the work would be spread over them.",
    severity: "error",
    from: { path: inside(folder) },
    to: { path: inside(...layer.filter((other) => other !== folder)) },
  })),
);

module.exports = {
  forbidden: [
    ...upward,
    ...sideways,
    {
      name: "every-folder-has-a-layer",
      comment: "A new folder that no rule knows would be bound by none of them: add it to the layers above.",
      severity: "error",
      from: { path: "^src/", pathNot: inside(...layers.flat(), "metrics") },
      to: {},
    },
    {
      name: "only-the-daemon-knows-metrics",
      comment:
        "Metrics are derived from reports and from what is stored. Code that counts while it works can make a number " +
        "that says something other than the repository does, and that is lost at a restart.",
      severity: "error",
      from: { path: "^src/", pathNot: inside("metrics", "daemon") },
      to: { path: inside("metrics") },
    },
    {
      name: "metrics-observe-only",
      comment: "Metrics read reports and points; they never reach into the daemon that serves them.",
      severity: "error",
      from: { path: inside("metrics") },
      to: { path: inside("daemon", "cli") },
    },
    {
      name: "prom-client-in-metrics-only",
      comment: "Its successor has another name. The swap must be one import.",
      severity: "error",
      from: { path: "^src/", pathNot: inside("metrics") },
      to: { path: "(^|/)node_modules/(prom-client|@prometheus-io)/" },
    },
    {
      name: "files-only-where-files-are-the-subject",
      comment:
        "Everything that must survive a crash goes through one set of file operations (host/files.ts), which tests can " +
        "interrupt at every step. Code that opens files by itself can't be proven that way.",
      severity: "error",
      from: {
        path: "^src/",
        pathNot: [inside("host", "qemu", "capture", "restore"), "^src/storage/drivers/"],
      },
      to: { path: "^(node:)?fs(/promises)?$" },
    },
    {
      name: "the-page-runs-in-browsers",
      comment:
        "What makes the page's content is loaded by browsers as it is: nothing in it may need Node, or load half the daemon.",
      severity: "error",
      from: { path: "^src/daemon/page/" },
      to: { pathNot: "^src/(daemon/page/|cli/format\\.ts$|policy/units\\.ts$)", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "no-cycles",
      comment: "Modules in a circle can only be understood all at once, and run in an order that nobody chose.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-tests-in-the-product",
      comment: "What is shipped must not depend on what isn't.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|bench|scripts)/" },
    },
    {
      name: "no-development-packages-in-the-product",
      comment: "They aren't installed on an administrator's machine.",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev"], dependencyTypesNot: ["type-only"] },
    },
    {
      name: "only-declared-and-existing-imports",
      comment: "A package that is there by accident, as part of another, can vanish with any update.",
      severity: "error",
      from: {},
      to: { dependencyTypes: ["npm-no-pkg", "npm-unknown", "unknown"] },
    },
    {
      name: "nothing-unresolvable",
      comment: "An import that leads nowhere fails only when it is reached.",
      severity: "error",
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    // Type-only imports bind to a layer as much as others do.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    // Node's own, behind a flag: its module list doesn't name it.
    builtInModules: { add: ["ffi", "node:ffi"] },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      extensions: [".ts", ".js", ".mjs", ".json", ".d.ts"],
    },
  },
};
