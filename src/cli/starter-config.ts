export interface StarterOptions {
  /** Absolute paths. */
  readonly repository: string;
  readonly key: string;
}

/** Beside the configuration: the JSON Schema by which editors help. */
export const schemaFile = "stillpoint.schema.json";

/** The configuration that `stillpoint init` writes where there is none: small, valid, and what most hosts begin with. */
export function starterConfig({ repository, key }: StarterOptions): string {
  return `# yaml-language-server: $schema=${schemaFile}
#
# Stillpoint: what is protected, when, how long it is kept, and where else it is kept.
# After a change: stillpoint config check. A running daemon takes a valid file over by itself.
# Every setting: stillpoint.example.yaml of the package, config/stillpoint.yaml in the sources. Your editor may know them by
# the first line; \`stillpoint config schema\` prints what it reads.
version: 1

repository:
  path: ${JSON.stringify(repository)}
  # Without a key nothing can be restored. Keep a copy of this file away from this machine.
  key_file: ${JSON.stringify(key)}

# Complete copies elsewhere, each restorable with the key alone: a mounted disk or share. Name a folder *in* it, so that
# an empty mount point isn't taken for the disk. After adding one: stillpoint init makes it.
replicas: {}
#  usb:
#    path: /mnt/usb/stillpoint/this-host
#    bandwidth: 50MiB/s

sources:
  etc:
    directory: { path: /etc }
#  data:
#    directory: { path: /srv, exclude: ['*.tmp', cache/] }
#  disk:
#    image: { path: /dev/vg0/data }
#  database:
#    command: { run: [pg_dumpall, --clean] }

policies:
  hourly:
    sources: [etc]
    # Or \`rpo: 1h\`: started early enough that the newest point never gets older than that.
    schedule: { cron: '0 * * * *', timezone: UTC }
    objectives: { rpo: 2h }
    keep: { hourly: 24, daily: 7, weekly: 4, monthly: 12 }
#    replicate: { usb: { keep: { daily: 30, monthly: 24 } } }

daemon:
  # Metrics and health. The port changes nothing.
  listen: 127.0.0.1:9464
`;
}
