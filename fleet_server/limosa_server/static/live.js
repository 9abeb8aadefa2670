// Follows the server: asks for the page again when something on it has changed, and says when it cannot.
"use strict";
(() => {
  const driver = document.getElementById("driver");
  const state = document.getElementById("live-state");
  if (!driver || !state) return;
  const topics = driver.dataset.topics.split("|");
  let source = null;
  let seen = new Date();
  let focused = null;

  const say = (tone, mark, words) => {
    state.hidden = false;
    state.className = `live ${tone}`;
    state.textContent = `${mark} ${words}`;
  };
  const concerns = (topic) =>
    topics.some((one) => (one.endsWith("*") ? topic.startsWith(one.slice(0, -1)) : one === topic));
  const refresh = () => htmx.trigger(driver, "limosa:changed");

  const connect = () => {
    if (source) return;
    source = new EventSource("/events/stream");
    source.addEventListener("hello", () => {
      say("good", "●", "live");
      refresh(); // what happened while nobody listened
    });
    source.addEventListener("changed", (event) => {
      if (JSON.parse(event.data).some(concerns)) refresh();
    });
    source.addEventListener("error", () => {
      say("warn", "○", "not live, asks every 15 s");
      // EventSource gives up for good after a refusal; the page must not.
      if (source && source.readyState === EventSource.CLOSED) {
        source = null;
        setTimeout(connect, 15000);
      }
    });
  };
  const disconnect = () => {
    if (source) source.close();
    source = null;
  };
  // A hidden tab gives its connection back: browsers hold six per server.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  window.addEventListener("pagehide", disconnect);

  const lost = () => say("bad", "✘", `no answer, as of ${seen.toISOString().slice(11, 19)} UTC`);
  document.body.addEventListener("htmx:sendError", lost);
  document.body.addEventListener("htmx:timeout", lost);
  document.body.addEventListener("htmx:responseError", lost);
  document.body.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) return;
    seen = new Date();
    if (source && source.readyState === EventSource.OPEN) say("good", "●", "live");
    else say("warn", "○", "not live, asks every 15 s");
  });

  // Only what has changed is replaced; what was unfolded stays so, and the keyboard stays where it was.
  document.body.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    const fresh = fragment.firstElementChild;
    if (!fresh || fresh.dataset.rev === target.dataset.rev) {
      event.detail.shouldSwap = false;
      return;
    }
    for (const open of target.querySelectorAll("details[open][id]")) {
      const again = fresh.querySelector(`#${CSS.escape(open.id)}`);
      if (again) again.open = true;
    }
    const link = target.contains(document.activeElement) && document.activeElement.getAttribute("href");
    focused = link ? { region: target.id, link } : null;
  });
  document.body.addEventListener("htmx:oobAfterSwap", () => {
    if (!focused) return;
    const region = document.getElementById(focused.region);
    const again = region && region.querySelector(`a[href="${CSS.escape(focused.link)}"]`);
    if (again) again.focus({ preventScroll: true });
    focused = null;
  });

  connect();
})();
