// The clips of an output folder: to sort, to search, and each frame a way into its video.
"use strict";

(() => {
  const app = (window.skelact ??= {});
  const { byId, element } = app;

  function answer(clip) {
    const parts = [];
    if (clip.label !== null) parts.push(`label: ${clip.label}`);
    if (clip.predicted) {
      const sure = clip.confidence_words ? ` (${clip.confidence_words})` : "";
      parts.push(`predicted: ${clip.predicted}${sure}`);
    }
    return parts.join(" · ");
  }

  function figuresOf(clip, figures) {
    const list = element("dl", { class: "figures" });
    for (const { key, title, about } of clip.figures ? figures : []) {
      list.append(element("div", { title: about }, element("dt", {}, title), element("dd", {}, String(clip.figures[key]))));
    }
    return list;
  }

  function sheetOf(clip, perRow) {
    if (!clip.sheet) return clip.no_image ? element("p", { class: "quiet" }, `no image: ${clip.no_image}`) : "";
    const columns = Math.min(perRow, clip.tiles.length);
    const links = element("div", { class: "tiles" });
    links.style.gridTemplateColumns = `repeat(${columns}, 1fr)`;
    links.style.gridTemplateRows = `repeat(${Math.ceil(clip.tiles.length / columns)}, 1fr)`;
    for (const { frame, seconds, href } of clip.tiles) {
      const words = `frame ${frame}, ${app.clock(seconds)}`;
      if (href) links.append(element("a", { href, target: "_blank", rel: "noopener", title: words, "aria-label": words }));
      else links.append(element("span", { title: words }));
    }
    const image = element("img", { src: clip.sheet, loading: "lazy", alt: `frames of ${clip.name} with skeletons` });
    return element("div", { class: "sheet" }, image, links);
  }

  function section(clip, { figures, tiles_per_row: perRow }) {
    const words = answer(clip);
    return element(
      "section",
      { class: clip.is_other ? "clip other" : "clip" },
      element("h2", {}, clip.name),
      clip.error ? element("p", { class: "message" }, clip.error) : "",
      words ? element("p", {}, words) : "",
      figuresOf(clip, figures),
      sheetOf(clip, perRow),
    );
  }

  // Clips without a value come last, whichever way the others go.
  function sorted(rows, key, descending) {
    if (key === "worst") return descending ? rows.toReversed() : rows;
    const value = ({ clip }) => (key === "name" || key === "label" ? clip[key] : clip.figures?.[key]) ?? null;
    const way = descending ? -1 : 1;
    return rows.toSorted((one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === null || b === null) return (a === null) - (b === null);
      return way * (typeof a === "number" ? a - b : a.localeCompare(b));
    });
  }

  const KINDS = { all: () => true, failed: (clip) => Boolean(clip.error), other: (clip) => Boolean(clip.is_other) };

  function show(rows) {
    const wanted = byId("filter").value.toLowerCase();
    const isOfKind = KINDS[byId("which").value];
    let count = 0;
    for (const { clip, node } of rows) {
      const text = `${clip.name} ${answer(clip)} ${clip.error ?? ""}`.toLowerCase();
      node.hidden = !(isOfKind(clip) && text.includes(wanted));
      count += !node.hidden;
    }
    byId("clips").replaceChildren(...sorted(rows, byId("sort").value, byId("descending").checked).map(({ node }) => node));
    byId("count").textContent = count === rows.length ? "" : `${count} of ${rows.length} clips are shown.`;
  }

  async function start() {
    const content = await app.readClips();
    const rows = content.clips.map((clip) => ({ clip, node: section(clip, content) }));
    byId("title").textContent = `${rows.length} clips`;
    byId("sort").append(...content.figures.map(({ key, title }) => element("option", { value: key }, title)));
    byId("filter").addEventListener("input", () => show(rows));
    for (const id of ["which", "sort", "descending"]) byId(id).addEventListener("change", () => show(rows));
    show(rows);
  }

  start().catch((error) => app.say(error.message));
})();
