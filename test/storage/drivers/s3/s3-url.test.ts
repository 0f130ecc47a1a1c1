import { expect, test } from "vitest";
import { isStillpointError } from "../../../../src/errors.ts";
import { parseS3Url, s3UrlOf } from "../../../../src/storage/drivers/s3/s3-url.ts";

test("a URL gives the address, and the address the URL", () => {
  const address = parseS3Url("s3://recovery/town/web1/?endpoint=https://s3.example.net/&region=eu");
  expect(address).toEqual({
    kind: "s3",
    location: "s3://recovery/town/web1?endpoint=https://s3.example.net&region=eu",
    endpoint: "https://s3.example.net",
    region: "eu",
    bucket: "recovery",
    prefix: "town/web1/",
    pathStyle: true,
    caFile: undefined,
    credentials: { kind: "chain" },
    objectLock: undefined,
  });
  expect(parseS3Url(s3UrlOf(address))).toEqual(address);
});

test("how to get in is part of the address, not of what is shown", () => {
  const address = parseS3Url("s3://recovery?region=eu-central-1&credentials_file=/etc/s3&ca_file=/etc/ca.pem");
  expect(address).toMatchObject({
    location: "s3://recovery/?region=eu-central-1",
    endpoint: undefined,
    prefix: "",
    pathStyle: false,
    caFile: "/etc/ca.pem",
    credentials: { kind: "file", path: "/etc/s3" },
  });
  expect(
    parseS3Url("s3://recovery?endpoint=http://[::1]:9000&path_style=false&credentials_credential=s3"),
  ).toMatchObject({
    region: "us-east-1",
    pathStyle: false,
    credentials: { kind: "credential", name: "s3" },
  });
});

test.each([
  ["s3://", "BUCKET"],
  ["s3://Bucket/x?region=a", "BUCKET"],
  ["s3://key:secret@bucket/x?region=a", "BUCKET"],
  ["s3://bucket/x", "needs a region"],
  ["s3://bucket/a/../b?region=a", "prefix"],
  ["s3://bucket/a b?region=a", "prefix"],
  ["s3://bucket/x?endpoint=https://key:secret@host", "endpoint"],
  ["s3://bucket/x?endpoint=ftp://host", "endpoint"],
  ["s3://bucket/x?endpoint=https://host/path", "endpoint"],
  ["s3://bucket/x?region=a&region=b", "twice"],
  ["s3://bucket/x?region=a&path_style=yes", "path_style"],
  ["s3://bucket/x?region=a&secret_key=secret", "secret_key"],
  ["s3://bucket/x?region=a&credentials_file=/a&credentials_credential=b", "two origins"],
])("%s is refused, without repeating what may be secret", (text, reason) => {
  let error: unknown;
  try {
    parseS3Url(text);
  } catch (thrown) {
    error = thrown;
  }
  if (!isStillpointError(error)) throw new Error("not refused");
  expect(error.code).toBe("usage");
  expect(error.message).toContain(reason);
  expect(error.message).not.toMatch(/secret\b/);
});
