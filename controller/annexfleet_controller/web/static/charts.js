// Draws <figure data-chart="<address of a series>"> with uPlot, and goes on drawing while new numbers come.
//
// What happened meanwhile stands in the page as a list (data-mark, data-from, data-until): it is drawn into every chart, and
// said below the one that is pointed at.  Time runs from left to right in every language.
"use strict";

(() => {
  const language = document.documentElement.lang;
  const locale = { ar: "ar-MA-u-nu-latn", fr: "fr-MA", en: "en-GB" }[language] || language;
  const DAYS = [1, 2, 7, 14, 28].map((days) => days * 86400);
  const CALM_MS = 500; // a chart is drawn anew no more often than this
  const drawn = new Map();
  const due = new Set(); // figures that were told something since they were drawn
  let drawing = false;
  const formats = new Map();
  // By the server's clock: computers whose battery is empty have been in another year.
  const behindMs = Number(document.getElementById("drawn")?.dataset.now ?? Date.now() / 1000) * 1000 - Date.now();
  const nowMs = () => Date.now() + behindMs;

  const plain = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
  const compact = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3, notation: "compact" });
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
  const fraction = new Intl.NumberFormat(locale, { style: "percent", maximumSignificantDigits: 2 });
  const hour = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: "UTC" });
  const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: "UTC" });
  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", hour12: false, timeZone: "UTC" });

  const BYTES = [[1e12, "terabyte"], [1e9, "gigabyte"], [1e6, "megabyte"], [1e3, "kilobyte"], [1, "byte"]];
  const SECONDS = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"], [0.001, "millisecond"]];

  function written(unit, value) {
    if (value === null || value === undefined) return "–";
    switch (unit) {
      case "ratio": return (value > 0 && value < 0.01 ? fraction : percent).format(value);
      case "bytes": return amount(BYTES, 4, value);
      case "bytes_per_second": return `${amount(BYTES, 4, value)}/s`;
      case "seconds": return amount(SECONDS, 3, value);
      case "celsius": return `${plain.format(value)} °C`;
      case "dbm": return `${plain.format(value)} dBm`;
      default: return Math.abs(value) >= 1e5 ? compact.format(value) : plain.format(value);
    }
  }

  // A format costs a hundred times what formatting does.
  function amount(steps, smallest, value) {
    const [step, unit] = steps.find(([least]) => Math.abs(value) >= least) || steps[smallest];
    if (!formats.has(unit)) formats.set(unit, new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 3 }));
    return formats.get(unit).format(value / step);
  }

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function note(figure, text) {
    const line = document.createElement("p");
    line.className = "soft";
    line.dir = document.documentElement.dir;
    line.textContent = text;
    figure.querySelector(".plot").replaceChildren(line);
  }

  // -- what happened meanwhile

  let listed = []; // read only when the page changes: to ask for what a list says makes the browser lay out the page
  let listedAs = "";
  function readMarks() {
    const now = [...document.querySelectorAll("[data-mark]")].map((of) => ({
      kind: of.dataset.mark,
      from: Number(of.dataset.from),
      until: of.dataset.until ? Number(of.dataset.until) : Infinity,
      severity: of.dataset.severity,
      text: of.textContent.replace(/\s+/g, " ").trim(),
    }));
    const as = JSON.stringify(now);
    if (as === listedAs) return false;
    [listed, listedAs] = [now, as];
    return true;
  }

  const LASTING = new Set(["alert", "maintenance", "away"]);
  const SIGN = 10;

  function tint(mark) {
    if (mark.kind === "alert") return mark.severity === "critical" ? "--bad" : "--warn";
    if (mark.kind === "maintenance") return colour("--maintenance") ? "--maintenance" : "--accent";
    return mark.kind === "away" ? "--unknown" : "--ink";
  }

  function sign(pen, kind, x, y, size) {
    const half = size / 2;
    pen.beginPath();
    if (kind === "alert") { pen.moveTo(x, y - half); pen.lineTo(x + half, y + half); pen.lineTo(x - half, y + half); }
    else if (kind === "maintenance") pen.rect(x - half, y - half, size, size);
    else if (kind === "away") pen.rect(x - half, y - half / 3, size, size / 3);
    else if (kind === "rollout") { pen.moveTo(x, y - half); pen.lineTo(x + half, y); pen.lineTo(x, y + half); pen.lineTo(x - half, y); }
    else if (kind === "run") { pen.moveTo(x - half, y - half); pen.lineTo(x + half, y); pen.lineTo(x - half, y + half); }
    else if (kind === "change") pen.rect(x - half / 3, y - half, size / 3, size);
    else pen.arc(x, y, half, 0, 2 * Math.PI);
    pen.closePath();
    pen.fill();
  }

  function drawMarks(u, behind) {
    const { left, top, width, height } = u.bbox;
    const pen = u.ctx;
    const ratio = uPlot.pxRatio;
    pen.save();
    pen.beginPath();
    pen.rect(left, top - SIGN * ratio * 1.4, width, height + SIGN * ratio * 1.4);
    pen.clip();
    for (const mark of listed) {
      if (mark.until < u.scales.x.min || mark.from > u.scales.x.max) continue;
      const start = Math.max(left, u.valToPos(Math.max(mark.from, u.scales.x.min), "x", true));
      const end = Math.min(left + width, u.valToPos(Math.min(mark.until, u.scales.x.max), "x", true));
      pen.fillStyle = colour(tint(mark));
      if (behind) {
        if (!LASTING.has(mark.kind)) continue;
        pen.globalAlpha = mark.kind === "alert" ? 0.13 : 0.1;
        pen.fillRect(start, top, Math.max(ratio, end - start), height);
        continue;
      }
      pen.globalAlpha = 1;
      if (!LASTING.has(mark.kind)) pen.fillRect(start - ratio / 2, top, ratio, height);
      sign(pen, mark.kind, Math.min(start, left + width - SIGN * ratio) + (SIGN * ratio) / 2, top - SIGN * ratio * 0.7, SIGN * ratio);
    }
    pen.restore();
  }

  // -- a chart

  function say(figure, u) {
    const known = drawn.get(figure);
    const place = u.cursor.idx;
    const at = place === null || place === undefined ? null : u.data[0][place];
    const reach = known.span / 150;
    const line = at === null ? "" : listed.filter((mark) => mark.from - reach <= at && at <= (mark.until === Infinity ? at : Math.max(mark.until, mark.from + reach))).map((mark) => mark.text).join(" · ");
    const told = figure.querySelector(".at-cursor");
    if (told.textContent !== line) told.textContent = line;
    if (at === null || document.activeElement !== figure.querySelector(".plot")) return;
    const plot = figure.querySelector(".plot");
    plot.setAttribute("aria-valuenow", String(place));
    plot.setAttribute("aria-valuetext", spoken(figure, u, place));
  }

  function spoken(figure, u, place) {
    const [, ...words] = figure.dataset.words.split("|");
    const values = [1, 2, 3].map((series, n) => `${words[n]} ${written(figure.dataset.unit, u.data[series][place])}`);
    return [moment.format(inProvince(u.data[0][place] * 1000)), ...values].join(", ");
  }

  function options(figure, unit, span) {
    const plot = figure.querySelector(".plot");
    const [time, lowest, mean, highest] = figure.dataset.words.split("|");
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { stroke: colour("--edge"), width: 1 }, font: "12px Plex, sans-serif" };
    return {
      width: plot.clientWidth,
      height: 180,
      padding: [SIGN * 1.6, null, null, null],
      tzDate: (second) => uPlot.tzDate(new Date(inProvince(second * 1000)), "UTC"),
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      scales: {
        x: { time: true, auto: false },
        y: { range: (u, low, high) => unit === "ratio" ? [0, Math.max(1, high ?? 1)] : [Math.min(0, low ?? 0), (high ?? 1) * 1.1 || 1] },
      },
      axes: [
        { ...axis, incrs: span > 172800 ? DAYS : undefined, values: (u, at) => at.map((second) => (span > 172800 ? day : hour).format(inProvince(second * 1000))), space: 70 },
        { ...axis, values: (u, at) => at.map((value) => written(unit, value)), size: 64 },
      ],
      series: [
        { label: time, value: (u, at) => at === null ? "–" : moment.format(inProvince(at * 1000)) },
        { label: lowest, show: true, width: 0, points: { show: false }, value: (u, value) => written(unit, value) },
        { label: mean, stroke: colour("--chart-line"), width: 1.75, points: { show: false }, value: (u, value) => written(unit, value) },
        { label: highest, show: true, width: 0, points: { show: false }, value: (u, value) => written(unit, value) },
      ],
      bands: [{ series: [3, 1], fill: colour("--chart-band") }],
      hooks: {
        drawClear: [(u) => drawMarks(u, true)],
        draw: [(u) => drawMarks(u, false)],
        setCursor: [(u) => say(figure, u)],
      },
    };
  }

  // Those in view are asked for at once, the others when the browser has nothing else to do.
  function draw(figure) {
    if (drawn.has(figure)) return;
    const known = { plot: null, data: [[], [], [], []], unit: figure.dataset.unit, span: Number(figure.dataset.span), asked: false, inView: false, resized: null };
    drawn.set(figure, known);
    looked.observe(figure);
  }

  async function load(figure) {
    const known = drawn.get(figure);
    if (!known || known.asked) return;
    known.asked = true;
    try {
      const since = new Date(nowMs() - known.span * 1000).toISOString();
      const answer = await fetch(`${figure.dataset.chart}&since=${encodeURIComponent(since)}`, { headers: { "X-By-Itself": "1" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const series = await answer.json();
      await turn();
      if (drawn.get(figure) !== known) return;
      known.data = [series.at, series.mins, series.values, series.maxs];
      if (series.at.length) show(figure);
      else note(figure, figure.dataset.empty);
    } catch {
      if (drawn.get(figure) !== known) return;
      forget(figure, known);
      note(figure, figure.dataset.failed);
    }
  }

  const whenIdle = window.requestIdleCallback || ((work) => setTimeout(work, 200));
  async function loadOthers() {
    for (const [figure, known] of drawn) {
      if (known.asked) continue;
      await load(figure);
      return whenIdle(loadOthers);
    }
  }

  // Resolves in a task of its own, after a frame that shows what the one before did: no key waits for all of them.
  let last = Promise.resolve();
  function turn() {
    const framed = () => new Promise((done) => (document.hidden ? setTimeout(done) : requestAnimationFrame(() => setTimeout(done))));
    last = last.then(framed);
    return last;
  }

  function forget(figure, known) {
    known.resized?.disconnect();
    looked.unobserve(figure);
    known.plot?.destroy();
    due.delete(figure);
    drawn.delete(figure);
  }

  // The whole span, whatever of it is known, so that all charts and marks share one axis.
  function reach(known) {
    const max = Math.max(nowMs() / 1000, known.data[0].at(-1) ?? 0);
    return { min: max - known.span, max };
  }

  function show(figure) {
    const known = drawn.get(figure);
    const box = figure.querySelector(".plot");
    known.plot?.destroy();
    box.replaceChildren();
    known.plot = new uPlot(options(figure, known.unit, known.span), known.data, box);
    known.plot.setScale("x", reach(known));
    box.querySelector(".u-legend").dir = document.documentElement.dir;
    box.tabIndex = 0;
    box.setAttribute("role", "slider");
    box.setAttribute("aria-label", figure.querySelector("figcaption").textContent.trim());
    box.setAttribute("aria-valuemin", "0");
    box.setAttribute("aria-valuemax", String(known.data[0].length - 1));
    box.setAttribute("aria-valuenow", String(known.data[0].length - 1));
    box.setAttribute("aria-valuetext", spoken(figure, known.plot, known.data[0].length - 1));
    if (!known.resized) {
      known.resized = new ResizeObserver(() => {
        if (box.clientWidth && box.clientWidth !== known.plot.width) known.plot.setSize({ width: box.clientWidth, height: known.plot.height });
      });
      known.resized.observe(figure);
    }
  }

  // Arrow keys move the cursor from point to point: left is earlier, in every language.
  document.addEventListener("keydown", (event) => {
    const figure = event.target.closest?.("[data-chart]");
    const known = figure && event.target.classList.contains("plot") ? drawn.get(figure) : null;
    if (!known?.plot) return;
    const last = known.data[0].length - 1;
    const place = Math.min(last, known.plot.cursor.idx ?? last);
    const steps = { ArrowLeft: place - 1, ArrowDown: place - 1, ArrowRight: place + 1, ArrowUp: place + 1, PageUp: place + 24, PageDown: place - 24, Home: 0, End: last };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(last, steps[event.key]));
    const value = known.data[2][next];
    known.plot.setCursor({ left: known.plot.valToPos(known.data[0][next], "x"), top: value === null ? 10 : known.plot.valToPos(value, "y") });
  });

  // -- new numbers

  // A new number becomes the newest point, and takes that one's place as long as both fall into one pixel: however long a
  // page stands open, a chart has no more live points than it is wide.  What is older than the span falls off.
  function take(known, at, value) {
    const [ats, mins, values, maxs] = known.data;
    const pixel_s = known.span / (known.plot?.width || 600);
    if (at - (ats.at(-2) ?? -Infinity) < pixel_s) {
      const last = ats.length - 1;
      [ats[last], values[last]] = [at, value];
      mins[last] = Math.min(mins[last] ?? value, value);
      maxs[last] = Math.max(maxs[last] ?? value, value);
    } else {
      ats.push(at);
      for (const column of [mins, values, maxs]) column.push(value);
    }
    const old = ats.findIndex((each) => each >= at - known.span);
    if (old > 0) known.data.forEach((column) => column.splice(0, old));
  }

  document.addEventListener("numbers", (event) => {
    const newest = new Map(event.detail.values.map(([subject, metric, value]) => [`${subject} ${metric}`, value]));
    for (const [figure, known] of drawn) {
      const value = newest.get(figure.dataset.key);
      if (typeof value !== "number" || known.span > 90000 || !known.asked) continue;
      take(known, Math.max(event.detail.at, (known.data[0].at(-1) ?? 0) + 0.001), value);
      due.add(figure);
    }
    redrawSoon();
  });

  // Charts in view, one a frame.  A page in the background has no frames.
  function redrawSoon() {
    const inView = (figure) => drawn.get(figure)?.inView;
    if (drawing || ![...due].some(inView)) return;
    drawing = true;
    setTimeout(() => redraw([...due].filter(inView)), CALM_MS);
  }

  function redraw([figure, ...others]) {
    if (!figure) {
      drawing = false;
      return redrawSoon();
    }
    requestAnimationFrame(() => {
      due.delete(figure);
      const known = drawn.get(figure);
      if (known?.plot) renew(figure, known);
      else if (known?.data[0].length > 1) show(figure);
      redraw(others);
    });
  }

  function renew(figure, known) {
    known.plot.setData(known.data, false);
    known.plot.setScale("x", reach(known));
    figure.querySelector(".plot").setAttribute("aria-valuemax", String(known.data[0].length - 1));
  }

  const looked = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!drawn.has(target)) continue;
      drawn.get(target).inView = isIntersecting;
      if (isIntersecting) load(target);
    }
    redrawSoon();
    whenIdle(loadOthers);
  });

  function drawAll() {
    document.querySelectorAll("[data-chart]").forEach(draw);
  }

  let ends = null;
  function untilTheEnd() {
    const live = document.querySelector(".watching[data-until]");
    clearTimeout(ends);
    if (live) ends = setTimeout(() => document.body.dispatchEvent(new CustomEvent("moved")), Math.max(1000, live.dataset.until * 1000 - nowMs() + 500));
  }

  // The form works without a script; with one, a choice is enough.
  document.addEventListener("change", (event) => {
    if (event.target.closest(".chart-choice")) event.target.form.requestSubmit();
  });
  document.addEventListener("htmx:after:swap", () => {
    const moved = readMarks();
    for (const [figure, known] of drawn) {
      if (!figure.isConnected) forget(figure, known);
      else if (moved) due.add(figure);
    }
    redrawSoon();
    drawAll();
    untilTheEnd();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [figure, known] of drawn) if (known.plot) show(figure);
  });
  readMarks();
  drawAll();
  untilTheEnd();
})();
