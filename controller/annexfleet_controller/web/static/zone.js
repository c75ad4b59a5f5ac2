// The hour of the province by the server's rules: those of an old browser do not know that Morocco changed its own in 2026.
//
// <meta name="ahead" content="<from, in seconds>:<seconds ahead of UTC> ..."> has what held for the past year and will hold for the
// next.  What `inProvince` gives is to be written or drawn as if it were UTC.
"use strict";

window.inProvince = (() => {
  const steps = document.querySelector("meta[name=ahead]").content.split(" ").map((step) => step.split(":").map(Number));
  return (ms) => ms + 1000 * (steps.findLast(([from]) => from * 1000 <= ms) || steps[0])[1];
})();
