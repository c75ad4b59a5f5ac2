// Keeps a board true, and calls people only where a person on this very device switched that on.
//
// It follows <body data-events>; what moved makes #state ask for itself anew through htmx, by the event `moved` on the
// body.  Where no stream is to be had it looks by itself now and then.  Whether what is shown is still being followed is
// told by what came: #state bears the moment it was made at.
"use strict";

(() => {
  const SOON_MS = 300; // several changes at once cost one request
  const LATER_MS = 60000; // only averages moved
  const LOOK_MS = 30000; // without a stream
  const SURE_MS = 300000; // with one, in case that a word of it was lost
  const AGAIN_MS = 60000; // until a stream is tried again that was refused
  const ANSWERED_MS = 12000; // a request that brought nothing in this time is lost
  const address = document.body.dataset.events;
  let timer = null;
  let dueAt = Infinity;
  let askedAt = 0;
  let shownAt = "";
  let tasks = null;
  let following = false;
  let lookedAt = 0;

  const state = () => document.getElementById("state");

  function say(on) {
    const line = document.getElementById("line");
    if (!line) return;
    const text = on ? line.dataset.on : line.dataset.off;
    if (line.textContent === text) return;
    line.className = `line ${on ? "on" : "off"}`;
    line.textContent = text;
  }

  function look(afterMs) {
    const at = performance.now() + afterMs;
    if (at >= dueAt) return; // it will happen sooner
    clearTimeout(timer);
    dueAt = at;
    timer = setTimeout(() => {
      dueAt = Infinity;
      lookedAt = performance.now();
      askedAt ||= lookedAt;
      document.body.dispatchEvent(new CustomEvent("moved"));
    }, afterMs);
  }

  function noticed() {
    const now = state();
    if (!now || now.dataset.at === shownAt) {
      if (askedAt && performance.now() - askedAt > ANSWERED_MS) say(false);
      return;
    }
    shownAt = now.dataset.at;
    askedAt = 0;
    say(true);
    const found = now.dataset.tasks.split(" ").filter(Boolean);
    const fresh = tasks === null ? [] : found.filter((task) => !tasks.includes(task));
    tasks = found;
    if (fresh.length) call(document.querySelector(`#task-${fresh[0]} h2`)?.textContent || "");
  }

  // -- calling people

  const switches = document.querySelector(".switches");
  const sound = document.getElementById("sound");
  const notify = document.getElementById("notify");
  let audio = null;

  function isOn(name) {
    try { return localStorage.getItem(`board-${name}`) === "on"; } catch { return false; } // storage may be closed
  }

  function keep(name, on) {
    try { localStorage.setItem(`board-${name}`, on ? "on" : "off"); } catch { /* it then holds for this visit alone */ }
  }

  function show(button, on, text) {
    button.setAttribute("aria-pressed", String(on));
    button.textContent = text || (on ? button.dataset.on : button.dataset.off);
  }

  function beep() {
    audio ||= new AudioContext();
    audio.resume();
    [[660, 0], [880, 0.18]].forEach(([pitch, wait]) => {
      const tone = audio.createOscillator();
      const volume = audio.createGain();
      const begins = audio.currentTime + wait;
      tone.frequency.value = pitch;
      volume.gain.setValueAtTime(0.0001, begins);
      volume.gain.exponentialRampToValueAtTime(0.25, begins + 0.02);
      volume.gain.exponentialRampToValueAtTime(0.0001, begins + 0.16);
      tone.connect(volume).connect(audio.destination);
      tone.start(begins);
      tone.stop(begins + 0.17);
    });
  }

  function call(title) {
    if (sound && sound.getAttribute("aria-pressed") === "true") beep();
    if (notify && notify.getAttribute("aria-pressed") === "true" && Notification.permission === "granted") {
      const note = new Notification(switches.dataset.new, { body: title, tag: "board", lang: document.documentElement.lang });
      note.onclick = () => { focus(); note.close(); };
    }
  }

  function offer() {
    if (!switches) return;
    switches.hidden = false;
    show(sound, isOn("sound"));
    sound.addEventListener("click", () => {
      const on = sound.getAttribute("aria-pressed") !== "true";
      keep("sound", on);
      show(sound, on);
      if (on) beep(); // so that one hears what it is, and the browser lets later ones through
    });
    if (!("Notification" in window) || !isSecureContext) {
      notify.hidden = true;
      return;
    }
    show(notify, isOn("notify") && Notification.permission === "granted");
    notify.addEventListener("click", async () => {
      const on = notify.getAttribute("aria-pressed") !== "true";
      const allowed = !on || (await Notification.requestPermission()) === "granted";
      keep("notify", on && allowed);
      show(notify, on && allowed, allowed ? "" : notify.dataset.refused);
    });
  }

  // -- following

  function follow() {
    const source = new EventSource(address);
    source.addEventListener("refresh", () => look(0));
    source.addEventListener("moved", (event) => look(event.data === "later" ? LATER_MS : SOON_MS));
    source.onopen = () => { following = true; };
    source.onerror = () => {
      following = false;
      look(0); // whether the line is lost shows by what that brings
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, AGAIN_MS);
    };
    addEventListener("pagehide", () => source.close(), { once: true });
  }

  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  addEventListener("online", () => look(0));
  addEventListener("offline", () => say(false));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(0); });
  setInterval(noticed, 500);
  setInterval(() => { if (!following || performance.now() - lookedAt > SURE_MS) look(0); }, LOOK_MS);
  offer();
  noticed();
  if (address) follow();
})();
