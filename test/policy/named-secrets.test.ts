import { expect, test } from "vitest";
import { namedSecrets } from "../../src/policy/named-secrets.ts";

test("names every file and credential with a secret, and nothing else", () => {
  const text = `
repository: { path: /var/lib/stillpoint/repository, key_file: repository.key }
replicas:
  town: { s3: { bucket: recovery, prefix: a, credentials_file: s3-key, ca_file: /etc/ca.pem } }
  moon: { s3: { bucket: recovery, prefix: b, credentials_credential: moon } }
  far: { sftp: { host: h, path: /p, identity_file: ../ssh/key, known_hosts_file: known, ssh_config: /etc/ssh/special } }
sources:
  dump: { command: { run: [dump, --to_file], environment: { secret_file: /nowhere } } }
  a_file: { image: { path: /dev/sda } }
`;
  expect(namedSecrets({ path: "/etc/stillpoint/stillpoint.yaml", text })).toEqual([
    { kind: "file", setting: "repository.key_file", name: "/etc/stillpoint/repository.key", confidential: true },
    { kind: "file", setting: "replicas.town.s3.credentials_file", name: "/etc/stillpoint/s3-key", confidential: true },
    { kind: "file", setting: "replicas.town.s3.ca_file", name: "/etc/ca.pem", confidential: false },
    { kind: "credential", setting: "replicas.moon.s3.credentials_credential", name: "moon", confidential: true },
    { kind: "file", setting: "replicas.far.sftp.identity_file", name: "/etc/ssh/key", confidential: true },
    { kind: "file", setting: "replicas.far.sftp.known_hosts_file", name: "/etc/stillpoint/known", confidential: false },
    { kind: "file", setting: "replicas.far.sftp.ssh_config", name: "/etc/ssh/special", confidential: false },
  ]);
});
