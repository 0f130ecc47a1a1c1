/** The recovery sheet: on paper, all that it takes to restore when the host is gone. Pure. */
import encodeQR from "qr";

export interface RecoverySheet {
  readonly host: string;
  readonly version: string;
  /** In ms since the epoch. */
  readonly made: number;
  readonly repositoryId: string;
  readonly places: readonly SheetPlace[];
  /** Undefined when the key isn't a file: the sheet then says what it is instead, and where it was. */
  readonly key: { readonly id: string; readonly text: string } | undefined;
  /** What opens the repository, when it isn't a key file. */
  readonly otherKey: string;
}

export interface SheetPlace {
  /** `primary`, or a replica's name. */
  readonly name: string;
  /** What `--repository` takes; what is in capitals isn't on the sheet. */
  readonly repository: string;
  /** What those capitals stand for, or when the place is of no use. */
  readonly remark: string | undefined;
}

/** Steps of docs/disaster.md, the commands as they are to be typed. */
interface Step {
  readonly text: string;
  readonly commands: readonly string[];
}

function stepsOf({ places, key }: RecoverySheet): Step[] {
  const open = `--repository "$REPLICA" ${key === undefined ? "--passphrase-file FILE" : "--key-file /etc/stillpoint/repository.key"}`;
  // The primary was on the host.
  const place = places.find(({ name }) => name !== "primary") ?? places[0];
  return [
    { text: "Stop the lost host, if anything of it still runs.", commands: [] },
    { text: "Install Stillpoint on another machine, without `stillpoint init`. Be root.", commands: [] },
    ...(key === undefined
      ? []
      : [
          {
            text: "Type or scan the key: one line, then Enter and Ctrl-D.",
            commands: ["install -D -m 600 /dev/stdin /etc/stillpoint/repository.key"],
          },
        ]),
    {
      text: "Name one of the places above, and see what is there.",
      commands: [`export REPLICA='${place?.repository ?? ""}'`, `stillpoint list ${open}`],
    },
    {
      text: "What can't wait: files, images and dumps; a virtual machine runs at once.",
      commands: [
        `stillpoint restore latest --source NAME --to /srv/NAME ${open}`,
        `stillpoint boot latest --source NAME ${open}`,
      ],
    },
    {
      text: "Rebuild the repository and the configuration, read the configuration, and go on.",
      commands: [`stillpoint recover ${open}`, "stillpoint config check", "systemctl enable --now stillpoint"],
    },
  ];
}

const warning =
  "Whoever has this sheet and can reach one of the places can read everything in it. Keep it as you keep a key to the house, away from this host; destroy it when it is replaced.";

function factsOf({ host, version, made, repositoryId, key }: RecoverySheet): [string, string][] {
  return [
    ["Host", host],
    ["Made", `${new Date(made).toISOString().slice(0, 10)}, by Stillpoint ${version}`],
    ["Repository", repositoryId],
    ...(key === undefined ? [] : [["Key", key.id] satisfies [string, string]]),
  ];
}

export function sheetText(sheet: RecoverySheet): string {
  const { places, key, otherKey } = sheet;
  const facts = factsOf(sheet).map(([name, value]) => `${`${name}:`.padEnd(12)}${value}`);
  const steps = stepsOf(sheet).flatMap(({ text, commands }, number) => [
    `${number + 1}. ${text}`,
    ...commands.map((command) => `     ${command}`),
    "",
  ]);
  return [
    `STILLPOINT RECOVERY SHEET`,
    "",
    ...facts,
    "",
    "PLACES",
    ...places.flatMap(({ name, repository, remark }) => [
      `  ${name}: ${repository}`,
      ...(remark === undefined ? [] : [`    ${remark}`]),
    ]),
    "",
    key === undefined ? "KEY" : "KEY (one line, without spaces)",
    `  ${key?.text ?? otherKey}`,
    "",
    ...(key === undefined ? [] : [qrText(key.text)]),
    "WHEN THE HOST IS LOST",
    "",
    ...steps,
    warning,
    "",
  ].join("\n");
}

const style = `
  body { font: 11pt/1.4 sans-serif; max-width: 18cm; margin: 1.5cm auto; color: #000; background: #fff; }
  h1 { font-size: 20pt; margin: 0 0 .4cm; } h2 { font-size: 13pt; margin: .7cm 0 .2cm; }
  table { border-collapse: collapse; } th { text-align: left; padding-right: .6cm; font-weight: normal; color: #444; }
  code, pre { font: 9.5pt/1.4 monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
  pre { margin: .1cm 0 .3cm; padding: .2cm .3cm; border: 1px solid #999; }
  pre code { display: block; padding-left: 1cm; text-indent: -1cm; }
  .key { border: 2px solid #000; padding: .3cm .5cm; break-inside: avoid; text-align: center; }
  .key svg { width: 4.5cm; } .key code { display: block; font-size: 10.5pt; white-space: nowrap; margin-bottom: .2cm; }
  li { break-inside: avoid; } .warning { border-top: 1px solid #999; padding-top: .3cm; }
  @page { size: A4; margin: 1.5cm; } @media print { body { margin: 0 auto; } }`;

/** One file, without scripts and without anything from elsewhere. */
export function sheetHtml(sheet: RecoverySheet): string {
  const { host, places, key, otherKey } = sheet;
  const row = ([name, value]: readonly [string, string]): string =>
    `<tr><th scope="row">${escape(name)}</th><td><code>${escape(value)}</code></td></tr>`;
  const placeRows = places.flatMap(({ name, repository, remark }) => [
    row([name, repository]),
    ...(remark === undefined ? [] : [`<tr><td></td><td>${escape(remark)}</td></tr>`]),
  ]);
  const steps = stepsOf(sheet).map(({ text, commands }) => {
    const typed =
      commands.length === 0
        ? ""
        : `<pre>${commands.map((command) => `<code>${escape(command)}</code>`).join("")}</pre>`;
    return `<li>${escape(text)}${typed}</li>`;
  });
  const keyBox =
    key === undefined
      ? `<p>${escape(otherKey)}</p>`
      : `<div class="key">${qrSvg(key.text)}<code>${escape(key.text)}</code>One line, without spaces.</div>`;
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Recovery sheet of ${escape(host)}</title><style>${style}
</style></head>
<body>
<h1>Stillpoint recovery sheet</h1>
<table>${factsOf(sheet).map(row).join("\n")}</table>
<h2>Places</h2>
<table>${placeRows.join("\n")}</table>
<h2>Key</h2>
${keyBox}
<h2>When the host is lost</h2>
<ol>${steps.join("\n")}</ol>
<p class="warning">${escape(warning)}</p>
</body>
</html>
`;
}

/** ISO/IEC 18004: a quarter of it may be smudged (error correction level Q), and around it is the quiet zone. */
const qrOptions = { ecc: "quartile", border: 4 } as const;

/**
 * Of half blocks in UTF-8, two modules in each character; each line ends with a line break. What is printed is what is light, as on a
 * terminal with a dark background; the standard lets it be the other way round, too.
 */
function qrText(text: string): string {
  return encodeQR(text, "ascii", qrOptions);
}

/** One square of 1 by 1 for each dark module. */
function qrSvg(text: string): string {
  const modules = encodeQR(text, "raw", qrOptions);
  const dark = modules.flatMap((line, y) => line.flatMap((isDark, x) => (isDark ? [`M${x} ${y}h1v1h-1z`] : [])));
  const size = modules.length;
  return `<svg viewBox="0 0 ${size} ${size}" role="img" aria-label="The key as a QR code" shape-rendering="crispEdges"><rect width="${size}" height="${size}" fill="#fff"/><path d="${dark.join("")}"/></svg>`;
}

function escape(text: string): string {
  const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
  return text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? "");
}
