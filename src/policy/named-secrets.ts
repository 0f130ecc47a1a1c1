/** What a configuration names and doesn't hold: files with keys and passwords, and systemd credentials. */
import { posix } from "node:path";
import type { ConfigText } from "./config.ts";
import { readYaml } from "./document.ts";

export interface NamedSecret {
  /** `credential`: one that systemd gives the service. */
  readonly kind: "file" | "credential";
  /** Where the configuration names it: `replicas.town.s3.credentials_file`. */
  readonly setting: string;
  /** Of a file its absolute path. */
  readonly name: string;
  /** Whether whoever reads it has a key or a password; certificates and host keys are for everybody. */
  readonly confidential: boolean;
}

const forEverybody = /\.(?:ca_file|known_hosts_file|ssh_config)$/;

/**
 * By the names of the settings, which all follow one rule, so that no kind of secret can be forgotten here. Throws
 * `config_invalid` when the text isn't YAML.
 */
export function namedSecrets({ path, text }: ConfigText): NamedSecret[] {
  const found: NamedSecret[] = [];
  const walk = (value: unknown, at: readonly string[]): void => {
    if (typeof value === "object" && value !== null) {
      for (const [key, inner] of Object.entries(value)) if (key !== "environment") walk(inner, [...at, key]);
      return;
    }
    if (typeof value !== "string") return;
    const setting = at.join(".");
    const confidential = !forEverybody.test(setting);
    if (setting.endsWith("_credential")) found.push({ kind: "credential", setting, name: value, confidential });
    else if (setting.endsWith("_file") || setting.endsWith(".ssh_config"))
      found.push({ kind: "file", setting, name: posix.resolve(posix.dirname(path), value), confidential });
  };
  walk(readYaml(text, path).value, []);
  return found;
}
