/** Reading what opens the repository, from where the configuration says that it is. */
import * as path from "node:path";
import { StillpointError } from "../errors.ts";
import { reasonOf } from "../host/errno-words.ts";
import { errnoOf, type Files } from "../host/files.ts";
import { nodeFiles } from "../host/node-files.ts";
import type { KeyOrigin } from "../policy/config.ts";
import { parseKeyFile, type Secret } from "../repository/keys/key-objects.ts";

export interface SecretSources {
  readonly files?: Files | undefined;
  /** For `CREDENTIALS_DIRECTORY` (systemd.exec(5), "Credentials"). */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
}

/** Throws `key_unreadable`, or `key_wrong` for a key file that isn't one. */
export async function readSecret(origin: KeyOrigin, sources: SecretSources = {}): Promise<Secret> {
  const file = fileOf(origin, sources.environment ?? process.env);
  const text = await readText(file, sources.files ?? nodeFiles);
  if (origin.kind !== "passphrase_file") return { type: "key-file", secret: parseKeyFile(text, file) };
  // One line break at its end isn't part of the passphrase (docs/format.md section 4).
  const passphrase = text.replace(/\r?\n$/, "");
  if (passphrase !== "") return { type: "passphrase", passphrase };
  throw new StillpointError("key_unreadable", {
    what: `Cannot use ${file} as a passphrase: it is empty`,
    safe: "Nothing was changed.",
    next: "Write the repository's passphrase into it.",
  });
}

function fileOf(origin: KeyOrigin, environment: Readonly<Record<string, string | undefined>>): string {
  if (origin.kind !== "key_credential") return origin.path;
  const folder = environment["CREDENTIALS_DIRECTORY"];
  if (folder !== undefined) return path.join(folder, origin.name);
  throw new StillpointError("key_unreadable", {
    what: `Cannot read the credential ${origin.name}: systemd has given none to this process`,
    safe: "Nothing was changed.",
    next: `Give it to the service (LoadCredential=${origin.name}:/path/of/the/key), or use \`key_file\` instead of \`key_credential\`.`,
  });
}

async function readText(file: string, files: Files): Promise<string> {
  try {
    return (await files.read(file)).toString();
  } catch (error) {
    const missing = errnoOf(error) === "ENOENT";
    throw new StillpointError("key_unreadable", {
      what: `Cannot read the key in ${file}: ${reasonOf(error)}`,
      safe: "Nothing was changed.",
      next: missing
        ? "Bring it back from the copy that you keep elsewhere, or correct the path; `stillpoint init` makes a new key for a new repository only."
        : "Run Stillpoint with the rights to read it.",
      cause: error,
    });
  }
}
