// The wall screen: its clock, and a sign that cannot be overlooked when what it shows is old.
"use strict";

(() => {
  const OLD_S = 150; // it asks for itself every minute; two that failed are a reason
  const clock = document.getElementById("clock");
  const stale = document.getElementById("stale");
  const written = new Intl.DateTimeFormat(document.documentElement.lang === "ar" ? "ar-MA-u-nu-latn" : document.documentElement.lang, {
    hour: "2-digit", minute: "2-digit", hour12: false, timeZone: "UTC",
  });
  let shown = ""; // the server's moment of what stands here
  let since = performance.now(); // by this screen's own clock, which may be wrong about the time of day

  function turn() {
    const at = document.getElementById("wall").dataset.at;
    if (at !== shown) {
      shown = at;
      since = performance.now();
    }
    const passedS = (performance.now() - since) / 1000;
    clock.textContent = written.format(inProvince((Number(shown) + passedS) * 1000));
    stale.hidden = passedS < OLD_S;
    document.body.classList.toggle("stale", passedS >= OLD_S);
  }

  setInterval(turn, 1000);
  turn();
})();
