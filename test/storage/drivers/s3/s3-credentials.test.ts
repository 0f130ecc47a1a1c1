import { writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { nodeFiles } from "../../../../src/host/node-files.ts";
import { readAccessKey } from "../../../../src/storage/drivers/s3/s3-credentials.ts";
import { rejection } from "../../../helpers/rejection.ts";
import { tempDir } from "../../../helpers/temp-dir.ts";

async function fileWith(text: string): Promise<{ folder: string; path: string }> {
  const folder = await tempDir();
  await writeFile(`${folder}/s3`, text);
  return { folder, path: `${folder}/s3` };
}

const pair = "aws_access_key_id = AKIA\naws_secret_access_key = hidden+/=\n";

test.each([
  ["two lines", pair, {}],
  ["a heading, comments and Windows's line ends", `# mine\r\n[default]\r\n${pair.replaceAll("\n", "\r\n")}`, {}],
  [
    "other profiles around it",
    `[old]\naws_access_key_id = OLD\n[ default ]\n${pair}[new]\naws_session_token = NEW\n`,
    {},
  ],
  ["a session", `${pair}aws_session_token=T\n`, { sessionToken: "T" }],
])("%s", async (_, text, besides) => {
  const { path } = await fileWith(text);
  const key = await readAccessKey({ kind: "file", path }, { files: nodeFiles, environment: {} });
  expect(key).toEqual({ accessKeyId: "AKIA", secretAccessKey: "hidden+/=", ...besides });
});

test("a systemd credential is a file in the folder that systemd gives", async () => {
  const { folder } = await fileWith(pair);
  const origin = { kind: "credential", name: "s3" } as const;
  const sources = { files: nodeFiles, environment: { CREDENTIALS_DIRECTORY: folder } };
  expect(await readAccessKey(origin, sources)).toMatchObject({ accessKeyId: "AKIA" });
  const error = await rejection(readAccessKey(origin, { ...sources, environment: {} }));
  expect(error).toMatchObject({ code: "storage_denied", message: expect.stringContaining("LoadCredential=s3:") });
});

test.each([
  ["[other]\naws_access_key_id = AKIA\naws_secret_access_key = hidden", "aws_access_key_id"],
  ["aws_access_key_id = AKIA\naws_secret_access_key: hidden", "aws_secret_access_key"],
  ["aws_secret_access_key = hidden", "aws_access_key_id"],
  ["", "aws_access_key_id"],
])("a file that lacks a line says which, and nothing of its content", async (text, lacking) => {
  const { path } = await fileWith(text);
  const error = await rejection(readAccessKey({ kind: "file", path }, { files: nodeFiles, environment: {} }));
  expect(error).toMatchObject({ code: "storage_denied", message: expect.stringContaining(lacking) });
  expect(error.message).not.toContain("hidden");
});

test("a file that isn't there is named", async () => {
  const origin = { kind: "file", path: "/nowhere/s3" } as const;
  const error = await rejection(readAccessKey(origin, { files: nodeFiles, environment: {} }));
  expect(error).toMatchObject({
    code: "storage_denied",
    message: expect.stringContaining("/nowhere/s3: there is no such file"),
  });
});
