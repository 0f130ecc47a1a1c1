/** What is measured side by side, by the name in the table. */
export const operations = {
  imageFirst: "image, first",
  imageWritten: "image, after 1,311 writes of 4 KiB",
  imageUnchanged: "image, unchanged",
  imageRestore: "image, restore",
  check: "check --read-data",
  treeFirst: "tree, first",
  treeUnchanged: "tree, unchanged",
  treeRestore: "tree, restore",
} as const;

/** By the store. The peers are restic, and rclone with the packs as they are at the primary. */
export const offsiteOperations = {
  s3: { first: "s3, first", changed: "s3, 1 % of its 4 KiB blocks changed", restore: "s3, restore" },
  sftp: { first: "sftp, first", changed: "sftp, 1 % of its 4 KiB blocks changed", restore: "sftp, restore" },
} as const;

/** The peer is virtnbdbackup; its increments want a qcow2 disk. */
export const vmOperations = {
  first: "VM's qcow2 disk, first",
  changed: "VM's qcow2 disk, 1 % changed",
} as const;
