// Keeps what a page shows up to date without moving the page: every part with
// data-live is replaced by its newer self. Without this script the page reloads.
"use strict";
(() => {
  const seconds = Number(document.body.dataset.refresh);

  // A choice from a list needs no button, except with the keyboard: each arrow is a change.
  for (const list of document.querySelectorAll("form.filter select")) {
    let typed = false;
    list.addEventListener("keydown", () => { typed = true; });
    list.addEventListener("pointerdown", () => { typed = false; });
    list.addEventListener("change", () => { if (!typed) list.form.submit(); });
  }
  if (!seconds) return;

  const busy = () => document.hidden || !document.getSelection().isCollapsed;

  // What a link, a checkbox, a button or a summary has in common with its newer self.
  const key = (e) => [e.getAttribute("href"), e.name, e.value, e.closest("details")?.id].join();

  let held = 0; // refreshes in a row
  const refresh = async () => {
    if (busy()) return;
    const stale = document.getElementById("stale");
    if (document.querySelector("[data-live] select:focus") && held++ < 2) { // its list may be open
      stale.hidden = false;
      return;
    }
    held = 0;
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) throw new Error(answer.statusText);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (busy()) return;
      for (const part of document.querySelectorAll("[data-live]")) {
        const next = page.querySelector(`[data-live="${part.dataset.live}"]`);
        if (!next || part.isEqualNode(next)) continue;
        for (const details of part.querySelectorAll("details[id]")) {
          const same = next.querySelector(`details[id="${details.id}"]`);
          if (same) same.open = details.open;
        }
        const active = document.activeElement;
        const focused = part.contains(active) && { tag: active.tagName, key: key(active) };
        const checked = new Set([...part.querySelectorAll("input:checked")].map((e) => e.value));
        const chosen = [...part.querySelectorAll("select")].map((e) => e.value);
        const scrolled = [...part.querySelectorAll(".scroll")].map((e) => e.scrollLeft);
        part.replaceWith(next);
        for (const box of next.querySelectorAll("input[type=checkbox]")) box.checked = checked.has(box.value);
        [...next.querySelectorAll("select")].forEach((e, i) => { if (chosen[i]) e.value = chosen[i]; });
        [...next.querySelectorAll(".scroll")].forEach((e, i) => { e.scrollLeft = scrolled[i] || 0; });
        if (focused) [...next.querySelectorAll(focused.tag)].find((e) => key(e) === focused.key)?.focus({ preventScroll: true });
      }
      stale.hidden = true;
    } catch {
      stale.hidden = false;
    }
  };
  setInterval(refresh, seconds * 1000);
  document.addEventListener("visibilitychange", refresh);
})();
