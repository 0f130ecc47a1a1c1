/** Keys and passwords that every user of this host can read. */
import { harmless } from "../errors.ts";
import { exposedMode } from "../host/exposed-mode.ts";
import type { Config } from "../policy/config.ts";
import { namedSecrets } from "../policy/named-secrets.ts";

/** A warning for each such file, with the settings that name it and the command that closes it. */
export async function exposedSecrets({ file }: Pick<Config, "file">): Promise<string[]> {
  const secrets = namedSecrets(file).filter(({ kind, confidential }) => kind === "file" && confidential);
  const warnings: string[] = [];
  for (const [name, named] of Map.groupBy(secrets, (secret) => secret.name)) {
    const mode = await exposedMode(name);
    if (mode === undefined) continue;
    const settings = named.map(({ setting }) => setting).join(", ");
    const bits = mode.toString(8).padStart(4, "0");
    const what = `every user of this machine has access to ${name} (${settings}), its mode is ${bits}`;
    warnings.push(harmless(`${what}: \`chmod o= ${name}\` ends that`));
  }
  return warnings;
}
