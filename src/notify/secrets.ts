/** What webhooks and pings need and nobody may see: read anew for each delivery, so that it can be changed at any time. */
import * as path from "node:path";
import { isStillpointError, StillpointError } from "../errors.ts";
import { flawInAuthorities } from "../host/authorities.ts";
import { errnoOf, type Files } from "../host/files.ts";
import type { SecretOrigin } from "../policy/config.ts";

export interface SecretSources {
  readonly files: Pick<Files, "read">;
  /** For `CREDENTIALS_DIRECTORY` (systemd.exec(5), "Credentials"). */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Throws `notification_failed`, with nothing of the content. */
export async function readUrl(origin: SecretOrigin, sources: SecretSources): Promise<URL> {
  const file = fileOf(origin, sources);
  const [line = ""] = (await readText(file, sources)).split("\n");
  const url = URL.parse(line.trim());
  if (url !== null && (url.protocol === "https:" || url.protocol === "http:")) return url;
  throw unusable(`the first line of ${file} isn't a URL of http or https`, "Write the receiver's URL there.");
}

/** The headers of a file, a line each. Throws `notification_failed`. */
export async function readHeaders(
  file: string | undefined,
  sources: SecretSources,
): Promise<Readonly<Record<string, string>>> {
  if (file === undefined) return {};
  const lines = (await readText(file, sources)).split("\n").map((line) => line.trim());
  const entries = lines.flatMap((line, index): [string, string][] => {
    if (line === "") return [];
    const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):\s*([\t\x20-\x7e]*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) return [[name, value]];
    throw unusable(`line ${String(index + 1)} of ${file} isn't a header`, "Write each as `Name: value`.");
  });
  return Object.fromEntries(entries);
}

/** Certificates of authorities to trust. Throws `notification_failed`. */
export async function readAuthorities(file: string | undefined, sources: SecretSources): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const text = await readText(file, sources);
  const flaw = flawInAuthorities(text);
  if (flaw === undefined) return text;
  throw unusable(
    `${file} can't be used: ${flaw}`,
    "Name the file with the authority that signed the receiver's certificate.",
  );
}

function fileOf(origin: SecretOrigin, { environment }: SecretSources): string {
  if (origin.kind === "file") return origin.path;
  const folder = environment["CREDENTIALS_DIRECTORY"];
  if (folder !== undefined) return path.join(folder, origin.name);
  throw unusable(
    `systemd has given this process no credential ${origin.name}`,
    `Give it to the service (LoadCredential=${origin.name}:/path/of/the/file), or use \`url_file\`.`,
  );
}

async function readText(file: string, { files }: SecretSources): Promise<string> {
  try {
    return (await files.read(file)).toString();
  } catch (error) {
    throw unusable(
      `${file} can't be read (${errnoOf(error) ?? (isStillpointError(error) ? error.code : "unknown")})`,
      "Correct the path, or let the user that Stillpoint runs as read it.",
    );
  }
}

function unusable(why: string, next: string): StillpointError {
  return new StillpointError("notification_failed", { what: `Cannot notify: ${why}`, next });
}
