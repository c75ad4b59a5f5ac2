// A form that narrows a list as one types: the address says at every moment what is shown, so that it can be passed on.
"use strict";

(() => {
  function follow(event) {
    const form = event.target.form;
    if (!form || !form.matches("form[data-filters]")) return;
    const said = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    history.replaceState(null, "", said.size ? `${form.getAttribute("action")}?${said}` : form.getAttribute("action"));
  }
  document.addEventListener("change", follow);
  document.addEventListener("input", follow);
})();
