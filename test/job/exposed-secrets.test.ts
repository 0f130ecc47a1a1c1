import { chmod, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exposedSecrets } from "../../src/job/exposed-secrets.ts";
import { tempDir } from "../helpers/temp-dir.ts";

const text = `
repository: { path: repository, key_file: repository.key }
replicas:
  one: { s3: { bucket: a, credentials_file: s3-key, ca_file: ca.pem } }
  two: { s3: { bucket: b, credentials_file: s3-key } }
`;

/** A folder that everybody may enter, with files of those modes. */
async function host(modes: Readonly<Record<string, number>>) {
  const folder = await tempDir();
  await chmod(folder, 0o755);
  for (const [name, mode] of Object.entries(modes)) {
    await writeFile(join(folder, name), "");
    await chmod(join(folder, name), mode);
  }
  return {
    folder,
    warnings: async () => await exposedSecrets({ file: { path: join(folder, "stillpoint.yaml"), text } }),
  };
}

test("a key that every user can read is told once, with its mode and the command", async () => {
  const { folder, warnings } = await host({ "repository.key": 0o600, "s3-key": 0o644, "ca.pem": 0o644 });
  expect(await warnings()).toEqual([
    `every user of this machine has access to ${folder}/s3-key (replicas.one.s3.credentials_file, replicas.two.s3.credentials_file), its mode is 0644: \`chmod o= ${folder}/s3-key\` ends that`,
  ]);
});

test.each([
  { what: "its group may read it", modes: { "repository.key": 0o640 } },
  { what: "it isn't there", modes: {} },
])("no warning when $what", async ({ modes }) => {
  expect(await (await host(modes)).warnings()).toEqual([]);
});

test("it is where the file is that counts, not the link to it", async () => {
  const { folder, warnings } = await host({});
  const closed = await tempDir();
  await writeFile(join(closed, "key"), "", { mode: 0o666 });
  await chmod(join(closed, "key"), 0o666);
  await symlink(join(closed, "key"), join(folder, "repository.key"));
  expect(await warnings()).toEqual([]);
  await chmod(closed, 0o711);
  expect(await warnings()).toEqual([expect.stringContaining("repository.key_file), its mode is 0666")]);
});
