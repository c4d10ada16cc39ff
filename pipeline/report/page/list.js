// The clips of a report, each with its page.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { byId, element } = app;

  function row(clip) {
    const name = clip.page ? element("a", { href: clip.page }, clip.name) : element("span", {}, clip.name);
    let words = clip.words;
    if (clip.error) words = clip.error;
    else if (clip.unknown) words = `Unknown (closest: ${clip.closest})`;
    const sure = clip.confidence === null ? "" : `${clip.confidence_words}, ${app.percent(clip.confidence)}`;
    return element("tr", {}, element("td", {}, name), element("td", {}, words), element("td", { class: "quiet" }, sure));
  }

  async function start() {
    const { clips } = await app.readClips();
    const rows = clips.map(row);
    byId("title").textContent = `${clips.length} clips`;
    byId("clips").replaceChildren(...rows);
    byId("filter").addEventListener("input", ({ target }) => {
      const wanted = target.value.toLowerCase();
      for (const one of rows) one.hidden = !one.textContent.toLowerCase().includes(wanted);
    });
  }

  start().catch((error) => app.say(error.message));
})();
