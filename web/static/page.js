// Reads the page again now and then, and while one types into the filter, and puts the new parts in place of the old.
"use strict";
(() => {
  const every = Number(document.body.dataset.refresh || 0) * 1000;
  const filter = document.querySelector("form[data-filter]");
  let running = null;

  async function refresh(address) {
    if (running) running.abort();
    const mine = running = new AbortController();
    try {
      const reply = await fetch(address, { signal: mine.signal, headers: { Accept: "text/html" } });
      if (!reply.ok) throw new Error(String(reply.status));
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const part of document.querySelectorAll("[data-live], #updated")) {
        const other = fresh.getElementById(part.id);
        if (!other || other.isEqualNode(part)) continue;
        const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
        part.replaceWith(other);
        if (focused) other.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
      }
      document.title = fresh.title;
      document.body.classList.remove("stale");
    } catch (error) {
      if (error.name !== "AbortError") document.body.classList.add("stale");
    } finally {
      if (running === mine) running = null;
    }
  }

  if (every > 0) {
    setInterval(() => { if (!document.hidden && !running) refresh(location.href); }, every);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(location.href); });
  }

  if (filter) {
    let timer = 0;
    const apply = () => {
      const query = new URLSearchParams();
      for (const [name, value] of new FormData(filter)) if (value) query.set(name, value);
      const address = location.pathname + (query.size ? "?" + query : "");
      history.replaceState(null, "", address);
      refresh(address);
    };
    filter.classList.add("live");
    filter.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 150); });
    filter.addEventListener("submit", event => { event.preventDefault(); clearTimeout(timer); apply(); });
  }
})();
