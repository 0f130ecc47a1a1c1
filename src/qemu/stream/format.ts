/** Numbers of QEMU's migration stream (docs/devel/migration.rst, migration/savevm.c and migration/ram.c of its source). */

export const streamMagic = 0x5145564d;
export const streamVersion = 3;

/** What a section begins with. */
export const sectionTypes = {
  end: 0x00,
  start: 0x01,
  part: 0x02,
  last: 0x03,
  full: 0x04,
  subsection: 0x05,
  description: 0x06,
  configuration: 0x07,
  command: 0x08,
  footer: 0x7e,
} as const;

/** The low bits of an address within RAM's sections. */
export const ramFlags = {
  zero: 0x02,
  blocks: 0x04,
  page: 0x08,
  end: 0x10,
  /** The same block as the page before. */
  same: 0x20,
} as const;

/** The version of RAM's sections that is known. */
export const ramVersion = 4;
