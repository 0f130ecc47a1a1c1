/** The page as a whole, as the server sends it: complete without a script, live with one. */
import { html } from "./html.ts";
import { headlineOf, render, type View } from "./view.ts";

export interface Scripts {
  /** Path of the module that keeps the page live. */
  readonly script: string;
}

export function documentOf(view: View, { script }: Scripts): string {
  const { host, version } = view.status;
  const { level, headline } = headlineOf(view.status);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${headline} – Stillpoint on ${host}</title>
<link rel="icon" href="/page/${level}.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page/page.css">
<script type="module" src="${script}"></script>
<noscript><meta http-equiv="refresh" content="30"></noscript>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top"><h1>Stillpoint</h1><p class="host">${host}</p><p class="live" id="live">as of ${new Date(view.status.now).toISOString().slice(11, 19)} UTC</p></header>
<main id="content">${render(view)}</main>
<footer><p>Stillpoint ${version} · <a href="/metrics">metrics</a> · <a href="/healthz">health</a> · <a href="/readyz">readiness</a> · <a href="/status.json">all of this as JSON</a></p></footer>
</body>
</html>
`.text;
}

const signs = {
  good: '<circle cx="12" cy="12" r="11" fill="#2a7d4f"/><path d="M6.500 12.500l4 4 7-9"',
  warn: '<path d="M12 1l11 21H1z" fill="#b07208"/><path d="M12 9v6M12 18.500v.1"',
  bad: '<path d="M7 1h10l6 6v10l-6 6H7l-6-6V7z" fill="#c2352b"/><path d="M8 8l8 8M16 8l-8 8"',
} as const;

/** For the tab: a form of its own for each level, not only a colour. */
export function iconOf(level: keyof typeof signs): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">${signs[level]} fill="none" stroke="#fff" stroke-width="2.600" stroke-linecap="round" stroke-linejoin="round"/></svg>\n`;
}
