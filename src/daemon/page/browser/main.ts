/** Keeps the page live: hears what changes from the daemon, and shows it. */
import type { DaemonStatus, History, LiveWork } from "../../control-protocol.ts";
import { rangeNamed } from "../scale.ts";
import { headlineOf, render } from "../view.ts";
import { morph } from "./morph.ts";

/** How often ages are told anew, in ms. */
const tick = 5000;
/** Heartbeats come more often than this, in ms: after so long a silence the daemon isn't there. */
const longestSilence = 40_000;
/** How long to wait, in ms, before asking again somebody who has refused. */
const refusedPause = 10_000;

const range = rangeNamed(new URLSearchParams(location.search).get("range"));
let status: DaemonStatus | undefined;
let history: History | undefined;
/** What the daemon's clock is ahead of ours, in ms, and when it was heard last, by ours. */
let ahead = 0;
let heard = Date.now();
let lost = false;
let due = false;
/** When the page was brought up to date last, and how long that took, in ms. */
let shown = 0;
let took = 0;

connect();
setInterval(showSoon, tick);

function connect(): void {
  // The browser connects again by itself, and tells which event it heard last.
  const events = new EventSource("/events");
  const on = (name: string, take: (data: string) => void): void =>
    events.addEventListener(name, (event) => {
      heard = Date.now();
      lost = false;
      take(event.data as string);
      showSoon();
    });
  on("status", (data) => {
    status = JSON.parse(data) as DaemonStatus;
    ahead = status.now - Date.now();
  });
  on("work", (data) => {
    const live = JSON.parse(data) as LiveWork;
    ahead = live.now - Date.now();
    if (status !== undefined) status = { ...status, work: live.work };
  });
  on("history", (data) => {
    history = JSON.parse(data) as History;
  });
  on("heartbeat", () => undefined);
  events.addEventListener("error", () => {
    lost = true;
    showSoon();
    // It was refused, because too many look at the page: browsers don't try again then.
    if (events.readyState === EventSource.CLOSED) setTimeout(connect, refusedPause);
  });
}

/** Once for all that came at the same time, and never so often that the browser does little else. */
function showSoon(): void {
  if (due) return;
  due = true;
  setTimeout(show, Math.max(0, shown + took * 4 - Date.now()));
}

function show(): void {
  due = false;
  showConnection();
  if (status === undefined) return;
  const started = Date.now();
  const now = { ...status, now: started + ahead };
  const { level, headline } = headlineOf(now);
  document.title = `${headline} – Stillpoint on ${now.host}`;
  document.querySelector("link[rel=icon]")?.setAttribute("href", `/page/${level}.svg`);
  const content = document.querySelector("#content");
  // In the background its title and icon are all that can be seen.
  if (content === null || document.hidden) return;
  const wanted = content.cloneNode(false) as Element;
  wanted.innerHTML = render({ status: now, history, range }).text;
  morph(content, wanted);
  shown = Date.now();
  took = shown - started;
}

function showConnection(): void {
  const live = document.querySelector("#live");
  if (live === null) return;
  const gone = lost || Date.now() - heard > longestSilence;
  const time = (ms: number): string => new Date(ms + ahead).toISOString().slice(11, 19);
  live.classList.toggle("lost", gone);
  live.textContent = gone ? `connection lost, as of ${time(heard)} UTC` : `live, ${time(Date.now())} UTC`;
}

document.addEventListener("visibilitychange", showSoon);
