"""Style and script of the pages: inline, so that a report is one folder that opens from disk."""

CSS = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #1d2129; --soft: #5b6370; --line: #e1e4ea;
  --accent: #2f6fde; --good: #11733b; --good-back: #e2f4e9; --bad: #a3261b; --bad-back: #fbe6e3;
  --open: #7a5200; --open-back: #fdf1d6; --mark: #eef3fd;
  --series-0: #2f6fde; --series-1: #d9541e; --series-2: #1a9850; --series-3: #9b4dca;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1d2026; --ink: #e8eaee; --soft: #a2a9b5; --line: #31363f;
    --accent: #7aa7ff; --good: #7fd8a2; --good-back: #16361f; --bad: #ff9d92; --bad-back: #43191a;
    --open: #f1c56a; --open-back: #3a2d10; --mark: #232d40;
    --series-0: #7aa7ff; --series-1: #ff9a66; --series-2: #5cc98a; --series-3: #c79bea;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main, header { max-width: 1080px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 44px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 10px; }
h2 { font-size: 21px; letter-spacing: -0.01em; margin: 44px 0 6px; }
h3 { font-size: 16px; margin: 0 0 10px; }
p { margin: 0 0 12px; max-width: 75ch; }
.lead { color: var(--soft); font-size: 17px; }
.note { color: var(--soft); font-size: 14px; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 18px 20px; margin: 14px 0;
}
a { color: var(--accent); }
nav { display: flex; flex-wrap: wrap; gap: 6px 18px; font-size: 14px; margin-top: 14px; }
.claims { list-style: none; margin: 14px 0; padding: 0; display: grid; gap: 10px; }
.claims li {
  display: grid; grid-template-columns: 118px 1fr auto; gap: 4px 16px; align-items: center;
  background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 12px 16px;
}
.claims .evidence {
  color: var(--soft); font-size: 14px; text-align: right; font-variant-numeric: tabular-nums;
}
.verdict {
  justify-self: start; border-radius: 999px; padding: 2px 12px; font-size: 13px; font-weight: 600;
  white-space: nowrap;
}
.holds { color: var(--good); background: var(--good-back); }
.does-not-hold { color: var(--bad); background: var(--bad-back); }
.not-shown { color: var(--open); background: var(--open-back); }
.partly { color: var(--accent); background: var(--mark); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14.5px; }
caption { text-align: left; color: var(--soft); font-size: 14px; padding-bottom: 8px; }
th, td { padding: 8px 12px; text-align: right; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { vertical-align: bottom; color: var(--soft); font-size: 13px; }
th:first-child, td:first-child { text-align: left; padding-left: 4px; }
tbody th { font-weight: 500; }
tr.model th { font-weight: 700; }
tr.model { background: var(--mark); }
tbody tr:last-child > * { border-bottom: 0; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
td small { color: var(--soft); display: block; font-size: 12px; font-weight: 400; }
thead .note { font-size: 12px; font-weight: 400; }
.best { font-weight: 700; }
details { margin: 12px 0; }
summary { cursor: pointer; color: var(--accent); font-size: 15px; }
.single { max-width: 540px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 430px), 1fr));
  gap: 14px; margin: 14px 0; }
.pair figure { margin: 0; }
.trio { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 300px), 1fr));
  gap: 14px; }
.trio figure { margin: 0; }
.card > ul { margin: 0; padding-left: 22px; }
figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: 14px; color: var(--soft); }
.players { display: grid; grid-template-columns: repeat(auto-fill, minmax(176px, 1fr)); gap: 16px; }
.players figure { margin: 0; }
.players figcaption { line-height: 1.4; margin-top: 8px; }
.players strong, .strips strong { color: var(--ink); display: block; font-size: 14.5px; }
.players.beside { grid-template-columns: repeat(auto-fill, minmax(min(100%, 290px), 1fr)); }
.players.beside figure { display: grid; grid-template-columns: 176px 1fr; gap: 14px; }
.players.beside figcaption { overflow-wrap: anywhere; }
/* Taller than the picture, so that the controls lie below it and not on it. */
video {
  width: 176px; height: 222px; object-fit: contain; object-position: top; background: #16181c;
  border-radius: 8px; display: block; image-rendering: pixelated;
}
video.predicting { outline: 3px solid var(--accent); outline-offset: 2px; }
.strips { margin-top: 18px; border-top: 1px solid var(--line); padding-top: 8px; }
.strips > div {
  display: grid; grid-template-columns: 230px 1fr; gap: 4px 16px; align-items: center;
  padding: 5px 0;
}
.strips strong { font-weight: 500; font-size: 14px; line-height: 1.35; }
.strips img { max-width: 100%; height: auto; display: block; min-width: 0; }
.seen-heard { display: grid; gap: 20px 24px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 450px), 1fr)); }
.seen-heard > div { display: grid; grid-template-columns: 176px minmax(0, 1fr); gap: 14px; }
.seen-heard figure { margin: 0; }
.seen-heard figcaption { line-height: 1.4; margin-top: 6px; overflow-wrap: anywhere; }
.seen-heard strong { color: var(--ink); }
.seen-heard .clock img { display: block; width: 100%; image-rendering: pixelated; }
.seen-heard .clock img + img { height: 168px; margin-top: 6px; border-radius: 4px; }
.example-head { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center;
  justify-content: space-between; margin-bottom: 14px; }
button {
  font: inherit; font-size: 14px; font-weight: 600; color: #fff; background: #2861c9;
  border: 0; border-radius: 8px; padding: 7px 16px; cursor: pointer;
}
button:focus-visible, summary:focus-visible, a:focus-visible {
  outline: 3px solid var(--accent); outline-offset: 2px;
}
dl { display: grid; grid-template-columns: minmax(150px, max-content) 1fr; gap: 6px 22px;
  margin: 0; font-size: 14.5px; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; margin: 0; }
code { font-size: 14px; overflow-wrap: anywhere; }
.facts { list-style: none; margin: 14px 0; padding: 0; display: grid; gap: 12px;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 150px), 1fr)); }
.facts li { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 12px 16px; color: var(--soft); font-size: 14px; line-height: 1.4; }
.facts strong { display: block; color: var(--ink); font-size: 22px; letter-spacing: -0.01em; }
.warning { color: var(--open); background: var(--open-back); border-radius: 12px;
  padding: 12px 16px; margin: 14px 0; max-width: none; }
.words { min-width: 9em; text-align: left; }
td.words, tbody .words { white-space: normal; overflow-wrap: anywhere; }
/* Only the plot has the width of the page: letters lie outside it and keep their size. */
.chart { display: block; overflow: visible; width: calc(100% - 64px); margin: 0 14px 0 50px; }
.chart.bars { width: 100%; margin: 0; }
.chart text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.chart text.name { fill: var(--ink); font-size: 13px; }
.chart line { stroke: var(--line); stroke-width: 1; shape-rendering: crispEdges; }
.chart line.axis { stroke: var(--soft); }
.chart rect { stroke: var(--card); stroke-width: 1; }
.chart rect.back { fill: var(--line); stroke: none; }
.series-0 { fill: var(--series-0); background: var(--series-0); }
.series-1 { fill: var(--series-1); background: var(--series-1); }
.series-2 { fill: var(--series-2); background: var(--series-2); }
.series-3 { fill: var(--series-3); background: var(--series-3); }
.key { display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 14px; color: var(--soft);
  margin: 0 0 12px; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; }
.sheet { display: grid; grid-template-columns: repeat(8, minmax(0, 1fr)); gap: 12px 10px;
  margin-top: 14px; }
.sheet figure { margin: 0; }
.sheet figcaption { font-size: 12px; line-height: 1.35; margin-top: 3px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.tile { aspect-ratio: 1; background-image: var(--sheet); border-radius: 6px;
  print-color-adjust: exact; }
.pixels .tile { image-rendering: pixelated; }
footer { color: var(--soft); font-size: 13px; padding: 30px 0 50px; }
@media (max-width: 640px) {
  .claims li { grid-template-columns: 1fr; }
  .sheet { grid-template-columns: repeat(4, minmax(0, 1fr)); }
  .facts { grid-template-columns: 1fr 1fr; }
  .claims .evidence { text-align: left; }
  .strips > div { grid-template-columns: 1fr; }
  dl { grid-template-columns: 1fr; }
  dd { margin-bottom: 8px; }
}
"""

SCRIPT = """
for (const button of document.querySelectorAll("button[data-example]")) {
  const videos = [...document.getElementById(button.dataset.example).querySelectorAll("video")];
  button.hidden = false;
  button.addEventListener("click", () => {
    const start = button.dataset.playing !== "yes";
    button.dataset.playing = start ? "yes" : "no";
    button.textContent = start ? "Stop all" : "Play all together";
    videos.forEach((video, i) => {
      video.pause();
      // One voice is enough.
      video.muted = i > 0;
      if (start) { video.currentTime = 0; video.play(); }
    });
  });
}
for (const video of document.querySelectorAll("video[data-seen]")) {
  video.addEventListener("timeupdate", () => {
    const predicting = video.currentTime >= Number(video.dataset.seen);
    video.classList.toggle("predicting", predicting);
  });
}
"""
