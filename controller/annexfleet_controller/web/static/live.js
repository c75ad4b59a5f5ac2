// Keeps an open page true: follows the events that <body data-events> names.
//
// New numbers of a device are written where they stand (data-reading="<subject> <metric>"); anything else that moved makes
// the page's fragment ask for itself anew, through htmx, by the event `moved` on the body.
"use strict";

(() => {
  const address = document.body.dataset.events;
  const line = document.getElementById("line");
  const SOON_MS = 250; // after a change: several at once cost one request
  const AGAIN_MS = 1000; // between two requests, however much changes
  const RUN_MS = 1000; // while Ansible runs, something moves many times a second
  const BACK_MS = 2000; // after a line that broke: not all pages of a province in the same moment
  const LATER_MS = 4000; // after a beat: only averages move
  const ONLY_WHERE_SHOWN = { run: "[data-runs]", rollout: "[data-rollouts]", drift: "[data-desired]" }; // they move all the time
  let timer = null;
  let dueAt = Infinity;
  let askedAt = -Infinity;
  let missed = false; // something moved while nobody looked

  function say(on) {
    line.className = `line ${on ? "on" : "off"}`;
    line.textContent = on ? line.dataset.on : line.dataset.off;
  }

  function refresh(afterMs) {
    if (document.hidden) { missed = true; return; }
    const now = performance.now();
    const at = Math.max(now + afterMs, askedAt + AGAIN_MS);
    if (at >= dueAt) return; // it will happen sooner
    clearTimeout(timer);
    dueAt = at;
    timer = setTimeout(() => {
      dueAt = Infinity;
      askedAt = performance.now();
      document.body.dispatchEvent(new CustomEvent("moved"));
    }, at - now);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden || !missed) return;
    missed = false;
    refresh(0);
  });

  function judge(place, value) {
    if (!place.dataset.usual) return;
    const [low, high] = place.dataset.usual.split(" ").map(Number);
    const unusual = value < low || value > high;
    place.closest("dl > div").classList.toggle("unusual", unusual);
    place.parentElement.querySelector(".unusual-mark").hidden = !unusual;
  }

  // What was told since the last frame, by place: of ten changes of one number only the last is written, and a page in the
  // background, which has no frames, keeps one value for each place and no list.
  const told = new Map();
  let framed = false;

  function tell(values) {
    for (const [subject, metric, value, text] of values) told.set(`${subject} ${metric}`, { value, text });
    if (framed) return;
    framed = true;
    requestAnimationFrame(write);
  }

  function write() {
    framed = false;
    const moved = [...document.querySelectorAll("[data-reading]")].filter((place) => {
      const text = told.get(place.dataset.reading)?.text;
      return text !== undefined && text !== place.textContent;
    });
    const seen = new Set(moved.filter(isDrawn)); // asked of all before anything is written: each asking would lay out anew
    for (const place of moved) {
      const { value, text } = told.get(place.dataset.reading);
      judge(place, value);
      (place.querySelector("bdi") || place).textContent = text; // a device's own word keeps a direction of its own
      if (seen.has(place)) shine(place);
    }
    told.clear();
  }

  // What lies far below is not drawn (content-visibility), and would shine only when somebody comes to it.
  function isDrawn(place) {
    return !place.checkVisibility || place.checkVisibility({ contentVisibilityAuto: true });
  }

  // Begins anew where it still shines.
  function shine(place) {
    place.classList.remove("fresh");
    requestAnimationFrame(() => place.classList.add("fresh"));
  }
  document.addEventListener("animationend", (event) => event.target.classList.remove("fresh"));

  function follow() {
    const source = new EventSource(address);
    let stood = false;
    source.onopen = () => {
      if (stood) refresh(Math.random() * BACK_MS); // nothing may have been told before it broke, so nothing is resumed
      stood = true;
      say(true);
    };
    source.onerror = () => {
      say(false);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      // It was refused.  If it stood before, the session is over, and the server says where to go; else too many are open.
      setTimeout(() => location.reload(), stood ? 3000 : 60000);
    };
    source.addEventListener("refresh", () => refresh(0));
    source.addEventListener("moved", (event) => refresh(event.data === "later" ? LATER_MS : SOON_MS)); // to a wall by a link
    source.addEventListener("device", (event) => {
      const what = JSON.parse(event.data);
      if (what.values) {
        tell(what.values);
        document.dispatchEvent(new CustomEvent("numbers", { detail: what }));
      }
      const kinds = what.kinds.filter((kind) => kind !== "live");
      if (kinds.length) refresh(kinds.every((kind) => kind === "beat") ? LATER_MS : SOON_MS);
    });
    source.addEventListener("annex", (event) => {
      const { kinds } = JSON.parse(event.data);
      if (kinds.some((kind) => !(kind in ONLY_WHERE_SHOWN))) return refresh(SOON_MS); // alerts, readiness, maintenance
      if (kinds.some((kind) => document.querySelector(ONLY_WHERE_SHOWN[kind]))) refresh(RUN_MS);
    });
    addEventListener("pagehide", () => source.close());
  }

  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  follow();
})();
