import * as path from "node:path";
import { StillpointError } from "../../../errors.ts";
import { reasonOf } from "../../../host/errno-words.ts";
import type { Files } from "../../../host/files.ts";
import type { S3Credentials } from "../../storage.ts";

/** An access key, as AWS's client takes it. */
export interface AccessKey {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface CredentialSources {
  readonly files: Files;
  /** For `CREDENTIALS_DIRECTORY` (systemd.exec(5), "Credentials"). */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Reads an access key from a file in the form that AWS's programs use: `aws_access_key_id = …` and
 * `aws_secret_access_key = …`, a line each, under `[default]` or under no heading; `aws_session_token` if there is one.
 *
 * @throws StillpointError `storage_denied`; never with anything of the file's content
 */
export async function readAccessKey(
  origin: Exclude<S3Credentials, { kind: "chain" }>,
  sources: CredentialSources,
): Promise<AccessKey> {
  const file = fileOf(origin, sources.environment);
  const values = parseDefaultProfile(await readText(file, sources.files));
  const accessKeyId = values.get("aws_access_key_id");
  const secretAccessKey = values.get("aws_secret_access_key");
  const sessionToken = values.get("aws_session_token");
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const lacking = accessKeyId === undefined ? "aws_access_key_id" : "aws_secret_access_key";
    throw unusable(
      `Cannot use the access key in ${file}: it has no line \`${lacking} = …\` under [default]`,
      "Write both lines, as AWS's programs have them in ~/.aws/credentials.",
    );
  }
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
}

function fileOf(
  origin: Exclude<S3Credentials, { kind: "chain" }>,
  environment: CredentialSources["environment"],
): string {
  if (origin.kind === "file") return origin.path;
  const folder = environment["CREDENTIALS_DIRECTORY"];
  if (folder !== undefined) return path.join(folder, origin.name);
  throw unusable(
    `Cannot read the credential ${origin.name}: systemd has given none to this process`,
    `Give it to the service (LoadCredential=${origin.name}:/path/of/the/file), or use \`credentials_file\`.`,
  );
}

async function readText(file: string, files: Files): Promise<string> {
  try {
    return (await files.read(file)).toString();
  } catch (error) {
    throw unusable(
      `Cannot read the access key in ${file}: ${reasonOf(error)}`,
      "Correct the path, or run Stillpoint with the rights to read it.",
    );
  }
}

function parseDefaultProfile(text: string): Map<string, string> {
  const values = new Map<string, string>();
  let profile = "default";
  for (const line of text.split(/\r?\n/)) {
    const heading = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)?.[1];
    if (heading !== undefined) profile = heading;
    const [, key, value] = /^\s*(aws_[a-z_]+)\s*=\s*(\S+)\s*$/.exec(line) ?? [];
    if (profile === "default" && key !== undefined && value !== undefined) values.set(key, value);
  }
  return values;
}

function unusable(what: string, next: string): StillpointError {
  return new StillpointError("storage_denied", { what, safe: "Nothing was changed.", next });
}
