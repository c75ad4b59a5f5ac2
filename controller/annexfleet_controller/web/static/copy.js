// The button beside a code copies it.  Where the browser may not (no HTTPS), the button stays away: one press on the code
// selects it all the same.
"use strict";

(() => {
  if (!navigator.clipboard) return;
  const show = () => { for (const button of document.querySelectorAll("[data-copy][hidden]")) button.hidden = false; };
  show();
  document.addEventListener("htmx:after:swap", show);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    } catch {
      return; // the person forbade it
    }
    button.lastElementChild.className = "";
    button.lastElementChild.textContent = button.dataset.done;
  });
})();
