/** The Debian package: a tree of files and dpkg-deb. */
import { createHash } from "node:crypto";
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { project } from "../bundle/settings.ts";
import { run } from "./build-executable.ts";

export interface DebianPackage {
  readonly version: string;
  /** Path of the self-contained executable. */
  readonly executable: string;
  /** For the file `copyright`. */
  readonly licences: string;
  /** The folder in which the package is made. */
  readonly into: string;
}

const units = readdirSync(join(project, "systemd")).filter((name) => name.startsWith("stillpoint"));

/** Files and folders of the project, and where they go. */
const files: readonly (readonly [from: string, to: string])[] = [
  ...units.map((name) => [`systemd/${name}`, `usr/lib/systemd/system/${name}`] as const),
  ["systemd/sysusers.conf", "usr/lib/sysusers.d/stillpoint.conf"],
  ["systemd/tmpfiles.conf", "usr/lib/tmpfiles.d/stillpoint.conf"],
  ["systemd/drop-ins", "usr/share/stillpoint/drop-ins"],
  ["config/stillpoint.yaml", "etc/stillpoint/stillpoint.example.yaml"],
  ["config/stillpoint.schema.json", "usr/share/stillpoint/stillpoint.schema.json"],
  ["config/grafana", "usr/share/stillpoint/grafana"],
  ["config/prometheus", "usr/share/stillpoint/prometheus"],
  ["config/examples", "usr/share/doc/stillpoint/examples"],
  ["tools", "usr/share/stillpoint/tools"],
  ["docs", "usr/share/doc/stillpoint"],
  ["README.md", "usr/share/doc/stillpoint/README.md"],
];

const conffiles = ["etc/stillpoint/stillpoint.example.yaml"];

/** Returns the path of the package. */
export function buildDebian({ version, executable, licences, into }: DebianPackage): string {
  const tree = join(into, "debian");
  rmSync(tree, { recursive: true, force: true });
  /** A path in the package, with its folders. */
  const at = (path: string): string => {
    mkdirSync(dirname(join(tree, path)), { recursive: true });
    return join(tree, path);
  };
  cpSync(executable, at("usr/bin/stillpoint"));
  for (const [from, to] of files) cpSync(join(project, from), at(to), { recursive: true });
  // They show what is refused; nobody should start from one.
  rmSync(at("usr/share/doc/stillpoint/examples/invalid"), { recursive: true });
  writeFileSync(
    at("usr/share/doc/stillpoint/copyright"),
    `${readFileSync(join(project, "LICENSE"), "utf8")}\n${licences}`,
  );
  writeFileSync(at("usr/share/doc/stillpoint/changelog.gz"), gzipSync(readFileSync(join(project, "CHANGELOG.md"))));
  const date = sourceDate();
  const manual = run(process.execPath, ["scripts/generate-man.ts"], date);
  writeFileSync(at("usr/share/man/man1/stillpoint.1.gz"), gzipSync(manual));
  addCompletions(at, join(into, "completions"));
  setModes(tree);
  writeControl(tree, version);

  const output = join(into, `stillpoint_${version}_${architecture}.deb`);
  run("dpkg-deb", ["--build", "--root-owner-group", "-Zzstd", "-z9", tree, output], date);
  rmSync(tree, { recursive: true });
  return output;
}

/** Where Debian's shells look for them. */
const completions = {
  bash: "usr/share/bash-completion/completions",
  zsh: "usr/share/zsh/vendor-completions",
  fish: "usr/share/fish/vendor_completions.d",
};

function addCompletions(at: (path: string) => string, folder: string): void {
  run(process.execPath, ["scripts/generate-completions.ts", folder]);
  for (const [shell, to] of Object.entries(completions)) cpSync(join(folder, shell), at(to), { recursive: true });
  rmSync(folder, { recursive: true });
}

/** As Debian calls this machine's processor. */
const architecture = process.arch === "x64" ? "amd64" : process.arch;

function writeControl(tree: string, version: string): void {
  const control = join(tree, "DEBIAN");
  cpSync(join(import.meta.dirname, "debian"), control, { recursive: true });
  const paths = filesIn(tree).filter((path) => !path.startsWith("DEBIAN/"));
  const size = paths.reduce((sum, path) => sum + statSync(join(tree, path)).size, 0);
  const fields = { version, architecture, size: String(Math.ceil(size / 1024)) };
  const template = readFileSync(join(control, "control"), "utf8");
  writeFileSync(
    join(control, "control"),
    template.replaceAll(/@(\w+)@/g, (_, name: keyof typeof fields) => fields[name]),
  );
  writeFileSync(join(control, "conffiles"), conffiles.map((path) => `/${path}\n`).join(""));
  const sum = (path: string): string =>
    createHash("md5")
      .update(readFileSync(join(tree, path)))
      .digest("hex");
  writeFileSync(join(control, "md5sums"), paths.map((path) => `${sum(path)}  ${path}\n`).join(""));
  for (const name of ["postinst", "prerm", "postrm"]) chmodSync(join(control, name), 0o755);
}

/** The umask of whoever builds is nobody's business. */
function setModes(tree: string): void {
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const program = entry.isDirectory() || path.includes("/bin/") || path.endsWith(".py");
    chmodSync(path, program ? 0o755 : 0o644);
  }
  chmodSync(tree, 0o755);
  chmodSync(join(tree, "etc/stillpoint"), 0o700);
}

function filesIn(tree: string): string[] {
  const entries = readdirSync(tree, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map((entry) => relative(tree, join(entry.parentPath, entry.name))).toSorted();
}

/** The same sources make the same package: its files are as old as the last commit. */
function sourceDate(): NodeJS.ProcessEnv {
  try {
    return { SOURCE_DATE_EPOCH: run("git", ["-C", project, "log", "-1", "--format=%ct"]).trim() };
  } catch {
    return {}; // Not a clone.
  }
}
