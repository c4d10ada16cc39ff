// Elements of the page from text: always as text, never as markup, since names come from outside.
"use strict";

(() => {
  const app = (window.skelact ??= {});

  app.byId = (id) => document.getElementById(id);

  // element("button", {type: "button", class: "link"}, "text", child)
  app.element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined && value !== null && value !== false) {
        made.setAttribute(name, value === true ? "" : value);
      }
    }
    made.append(...children);
    return made;
  };

  app.clock = (seconds) => {
    const whole = Math.floor(seconds / 60);
    const rest = (seconds - 60 * whole).toFixed(3).padStart(6, "0");
    return `${whole}:${rest}`;
  };

  app.percent = (confidence) => (confidence < 0.01 ? "below 1 %" : `${Math.round(100 * confidence)} %`);

  app.personName = (report, person) => (person === 0 ? "Athlete" : `Person ${person + 1}`);

  app.say = (text) => {
    const message = app.byId("message");
    message.textContent = text;
    message.hidden = !text;
  };

  // Colours of the theme, for canvases.
  app.color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const NUM_COLORS = 7;
  app.personColor = (person) => app.color(`--person-${person % NUM_COLORS}`);
  app.personClass = (person) => `person-${person % NUM_COLORS}`;

  app.download = (name, content, type) => {
    const blob = content instanceof Blob ? content : new Blob([content], { type });
    const link = app.element("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    // Some browsers read the blob only after the click has been handled.
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };
})();
