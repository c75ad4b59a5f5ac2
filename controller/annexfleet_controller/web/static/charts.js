// Draws <figure data-chart="<address of a series>"> with uPlot, and goes on drawing while new numbers come.
"use strict";

(() => {
  const language = document.documentElement.lang;
  const locale = { ar: "ar-MA-u-nu-latn", fr: "fr-MA", en: "en-GB" }[language] || language;
  const zone = "Africa/Casablanca";
  const DAYS = [1, 2, 7, 14, 28].map((days) => days * 86400);
  const drawn = new WeakMap();

  const plain = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });
  const compact = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3, notation: "compact" });
  const percent = new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 });
  const fraction = new Intl.NumberFormat(locale, { style: "percent", maximumSignificantDigits: 2 });
  const hour = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", hour12: false, timeZone: zone });
  const day = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short", timeZone: zone });
  const moment = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", hour12: false, timeZone: zone });

  function written(unit, value) {
    if (value === null || value === undefined) return "–";
    switch (unit) {
      case "ratio": return (value > 0 && value < 0.01 ? fraction : percent).format(value);
      case "bytes": return bytes(value);
      case "bytes_per_second": return `${bytes(value)}/s`;
      case "seconds": return seconds(value);
      case "celsius": return `${plain.format(value)} °C`;
      case "dbm": return `${plain.format(value)} dBm`;
      default: return Math.abs(value) >= 1e5 ? compact.format(value) : plain.format(value);
    }
  }

  function bytes(value) {
    const steps = [[1e12, "terabyte"], [1e9, "gigabyte"], [1e6, "megabyte"], [1e3, "kilobyte"], [1, "byte"]];
    const [step, unit] = steps.find(([least]) => Math.abs(value) >= least) || steps[4];
    return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 3 }).format(value / step);
  }

  function seconds(value) {
    const steps = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"], [0.001, "millisecond"]];
    const [step, unit] = steps.find(([least]) => Math.abs(value) >= least) || steps[3];
    return new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumSignificantDigits: 3 }).format(value / step);
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

  function options(figure, unit, span) {
    const plot = figure.querySelector(".plot");
    const [time, lowest, mean, highest] = figure.dataset.words.split("|");
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--edge"), width: 1 }, ticks: { stroke: colour("--edge"), width: 1 }, font: "12px Plex, sans-serif" };
    return {
      width: plot.clientWidth,
      height: 180,
      tzDate: (second) => uPlot.tzDate(new Date(second * 1000), zone),
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      scales: {
        x: { time: true },
        y: { range: (u, low, high) => unit === "ratio" ? [0, Math.max(1, high ?? 1)] : [Math.min(0, low ?? 0), (high ?? 1) * 1.1 || 1] },
      },
      axes: [
        { ...axis, incrs: span > 172800 ? DAYS : undefined, values: (u, at) => at.map((second) => (span > 172800 ? day : hour).format(second * 1000)), space: 70 },
        { ...axis, values: (u, at) => at.map((value) => written(unit, value)), size: 64 },
      ],
      series: [
        { label: time, value: (u, at) => at === null ? "–" : moment.format(at * 1000) },
        { label: lowest, show: true, width: 0, points: { show: false }, value: (u, value) => written(unit, value) },
        { label: mean, stroke: colour("--chart-line"), width: 1.75, points: { show: false }, value: (u, value) => written(unit, value) },
        { label: highest, show: true, width: 0, points: { show: false }, value: (u, value) => written(unit, value) },
      ],
      bands: [{ series: [3, 1], fill: colour("--chart-band") }],
    };
  }

  async function draw(figure) {
    if (drawn.has(figure)) return;
    const unit = figure.dataset.unit;
    const span = Number(figure.dataset.span);
    drawn.set(figure, null);
    try {
      const since = new Date(Date.now() - span * 1000).toISOString();
      const answer = await fetch(`${figure.dataset.chart}&since=${encodeURIComponent(since)}`, { headers: { "X-By-Itself": "1" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const series = await answer.json();
      const data = [series.at, series.mins, series.values, series.maxs];
      if (!series.at.length) note(figure, figure.dataset.empty);
      else show(figure, unit, span, data);
      if (!series.at.length) drawn.set(figure, { plot: null, data, live: null, unit, span });
    } catch {
      drawn.delete(figure);
      note(figure, figure.dataset.failed);
    }
  }

  function show(figure, unit, span, data) {
    figure.querySelector(".plot").replaceChildren();
    const plot = new uPlot(options(figure, unit, span), data, figure.querySelector(".plot"));
    drawn.set(figure, { plot, data, unit, span, live: null });
    new ResizeObserver(() => {
      const box = figure.querySelector(".plot");
      if (box.clientWidth && box.clientWidth !== plot.width) plot.setSize({ width: box.clientWidth, height: plot.height });
    }).observe(figure);
  }

  // A new number becomes the newest point; what is older than the span falls off.
  document.addEventListener("numbers", (event) => {
    const newest = new Map(event.detail.values.map(([subject, metric, value]) => [`${subject} ${metric}`, value]));
    for (const figure of document.querySelectorAll("[data-chart]")) {
      const value = newest.get(figure.dataset.key);
      const known = drawn.get(figure);
      if (typeof value !== "number" || !known || known.span > 90000) continue;
      const at = Math.max(event.detail.at, (known.data[0].at(-1) ?? 0) + 0.001);
      known.data[0].push(at);
      for (const column of known.data.slice(1)) column.push(value);
      while (known.data[0][0] < at - known.span) known.data.forEach((column) => column.shift());
      if (known.plot) known.plot.setData(known.data);
      else if (known.data[0].length > 1) show(figure, known.unit, known.span, known.data);
    }
  });

  function drawAll() {
    document.querySelectorAll("[data-chart]").forEach(draw);
  }

  // The form works without a script; with one, a choice is enough.
  document.addEventListener("change", (event) => {
    if (event.target.closest(".chart-choice")) event.target.form.requestSubmit();
  });
  document.addEventListener("htmx:after:swap", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
  drawAll();
})();
