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
